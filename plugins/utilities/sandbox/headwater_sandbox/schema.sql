-- The operational database of Rainbow, a marketplace, and Lana, its lending arm.
-- Amounts are in VND unless a row says otherwise. Every table keeps created_at and updated_at.

create schema rainbow;
create schema lana;

create table rainbow.customers (
    customer_id bigint primary key,
    full_name text not null,
    email text not null,
    phone text,
    address jsonb,
    birth_date date,
    is_subscribed boolean not null default false,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create table rainbow.sellers (
    seller_id integer primary key,
    seller_uuid uuid not null unique,
    seller_name text not null,
    city text,
    rating_average double precision,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create table rainbow.categories (
    category_id smallint primary key,
    category_name text not null,
    parent_category_id smallint references rainbow.categories,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create table rainbow.brands (
    brand_id integer primary key,
    brand_name text not null,
    country_code char(2),
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create table rainbow.promotions (
    promotion_id integer primary key,
    promotion_name text not null,
    -- 'Percentage': price_treatment is percent of the price.
    -- 'Fixed Amount': price_treatment is thousands of currency units off the price.
    coupon_type text not null check (coupon_type in ('Percentage', 'Fixed Amount')),
    price_treatment numeric(10, 2) not null,
    starts_at timestamptz not null,
    expires_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create table rainbow.products (
    product_id bigint primary key,
    product_name text not null,
    category_id smallint not null references rainbow.categories,
    seller_id integer not null references rainbow.sellers,
    brand_id integer references rainbow.brands,
    promotion_id integer references rainbow.promotions,
    price numeric(18, 2) not null,
    original_price numeric(18, 2) not null,
    weight_kg numeric,
    rating_average double precision,
    review_count integer not null default 0,
    sold_count integer not null default 0,
    tags text[],
    attributes jsonb,
    thumbnail bytea,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

-- A payment is a way to pay; an order names the one it used.
create table rainbow.payments (
    payment_id smallint primary key,
    payment_method text not null,
    fee_rate real not null,
    is_active boolean not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create table rainbow.orders (
    order_id bigint primary key,
    customer_id bigint not null,
    payment_id smallint not null references rainbow.payments,
    status text not null check (
        status in ('pending', 'paid', 'shipped', 'completed', 'cancelled', 'refunded')
    ),
    currency_code char(3) not null default 'VND',
    -- The customer's wall clock: no time zone.
    delivery_slot timestamp,
    note text,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create table rainbow.order_details (
    order_id bigint not null references rainbow.orders on delete cascade,
    product_id bigint not null,
    promotion_id integer,
    quantity integer not null check (quantity > 0),
    price numeric(18, 2) not null, -- of one unit, before any discount, when the order was placed
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (order_id, product_id)
);

create table lana.customers (
    customer_id integer primary key,
    full_name text not null,
    email text not null,
    status text not null check (status in ('ACTIVE', 'INACTIVE', 'SUSPENDED')),
    customer_type text not null check (customer_type in ('INDIVIDUAL', 'BUSINESS')),
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create table lana.facilities (
    facility_id integer primary key,
    customer_id integer not null,
    principal_amount numeric(20, 2) not null check (principal_amount > 0),
    outstanding_balance numeric(20, 2) not null check (outstanding_balance >= 0),
    annual_rate numeric(9, 6) not null, -- a fraction: 0.125 is 12.5 % a year
    currency_code char(3) not null default 'VND',
    status text not null check (status in ('PENDING', 'ACTIVE', 'CLOSED', 'DEFAULTED')),
    opened_on date not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create table lana.transactions (
    transaction_id bigint primary key,
    customer_id integer not null,
    facility_id integer, -- null: a deposit or withdrawal on the customer's account
    type text not null check (type in ('DEPOSIT', 'WITHDRAWAL', 'DISBURSAL', 'PAYMENT')),
    amount numeric(20, 2) not null check (amount > 0),
    currency_code char(3) not null default 'VND',
    transaction_date timestamptz not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

-- What an incremental read filters and sorts by.
create index on rainbow.customers (updated_at);
create index on rainbow.products (updated_at);
create index on rainbow.orders (updated_at);
create index on rainbow.order_details (updated_at);
create index on rainbow.order_details (product_id);
create index on lana.customers (updated_at);
create index on lana.facilities (updated_at);
create index on lana.transactions (updated_at);
