drop schema if exists kinds cascade;
create schema kinds;
create extension if not exists hstore schema kinds;

create type kinds.mood as enum ('sad', 'happy');
create type kinds.pair as (a integer, b text);
create domain kinds.price as numeric(18, 2);
create domain kinds.list_price as kinds.price check (value > 0);
create domain kinds.labels as text[];

create table kinds.every_type (
    id bigint primary key,
    c_smallint smallint,
    c_integer integer,
    c_numeric_scaled numeric(20, 2),
    c_numeric numeric,
    c_real real,
    c_double double precision,
    c_boolean boolean,
    c_text text,
    c_varchar varchar(10),
    c_varchar_any varchar,
    c_char char(4),
    c_date date,
    c_timestamp timestamp,
    c_timestamptz timestamptz,
    c_timestamptz_scaled timestamp(3) with time zone,
    c_time time,
    c_timetz timetz,
    c_bytea bytea,
    c_json json,
    c_jsonb jsonb not null,
    c_texts text[],
    c_grid integer[][],
    c_numerics numeric[],
    c_instants timestamptz[],
    c_moods kinds.mood[],
    c_uuid uuid,
    c_interval interval,
    c_money money,
    c_inet inet,
    c_range int4range,
    c_hstore kinds.hstore,
    c_composite kinds.pair,
    c_enum kinds.mood,
    c_domain kinds.price,
    c_domain_of_domain kinds.list_price,
    c_domain_of_array kinds.labels,
    c_bit bit(3),
    c_tsvector tsvector,
    c_oid oid
);

insert into kinds.every_type values
(
    1, 7, 42, 123456789012345678.70, 12345678901234567890.123456789, 0.1, 0.30000000000000004, true,
    E'naïve ☃ "q" \\ \n\t', 'abc', 'x', 'ab', '2024-02-29', '2024-02-29 12:34:56.5',
    '2024-02-29 12:34:56.789012+07', '2024-02-29 12:34:56.789+07', '23:59:59.25', '12:00+02',
    '\x00ff10', E'{"b": 1.50,\n "a": [1, null, 123456789012345678901234567890.123456789]}',
    '{"n": 12345678901234567890123456789}', '{a,NULL,"x,y"}', '{{1,2},{3,NULL}}', '{1.10,NaN}',
    '{2024-01-01 00:00+07,infinity}', '{sad,happy}', 'A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11',
    '1 year 2 days 03:00:00.5', 12.34, '10.0.0.1/8', '[1,5)', 'a=>1,b=>NULL', '(1,"x,y")', 'happy',
    1.20, 2.30, '{p,q}', b'101', 'a b', 5
),
(
    2, -32768, -2147483648, -0.05, 1e5, 'NaN', '-Infinity', false, '', '', '', '', '0001-01-01',
    '9999-12-31 23:59:59.999999', '0001-01-01 00:00+00', null, '24:00', null, '', 'null', '"s"',
    '{}', '{}', null, null, null, null, '-00:00:01', -1, '::1', 'empty', '', '(,)', 'sad', 0, 1,
    null, b'000', '', 0
),
(
    3, null, null, null, 0.0000000000, '-0', 'Infinity', null, null, null, null, null, null, null,
    null, null, null, null, null, '17', '[true, {"a": null}]', null, null, null, null, null, null,
    null, null, null, null, null, null, null, null, null, null, null, null, null
);

-- Names that need quoting, a key of two columns, columns that differ in case only.
create table kinds."Select" (
    "Order" integer,
    "order" integer,
    "50% off: a.b" text,
    "Größe" date,
    primary key ("order", "Order")
);
insert into kinds."Select" values (1, 2, 'x', '2024-01-01');

create table kinds.keyless (n integer);
insert into kinds.keyless values (1), (1), (null);

create table kinds.nothing (id integer primary key);

create view kinds.a_view as select n from kinds.keyless where n = 1;

create table kinds.parts (id integer primary key, n numeric(5, 1)) partition by range (id);
create table kinds.parts_low partition of kinds.parts for values from (0) to (10);
create table kinds.parts_high partition of kinds.parts for values from (10) to (20);
insert into kinds.parts values (1, 1.5), (15, 2.5);
