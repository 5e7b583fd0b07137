{#-
    The e-mail address by which accounts are matched, null if it is none:
    - white space around it is dropped, and case;
    - so is a tag, from the first `+` to the `@`: `anna+shop@x.vn` reaches `anna@x.vn`.
    There it stops. Dots stay, for only some providers ignore them; so do look-alike domains, and letters
    that Unicode can write in two ways. What has not exactly one `@` with something on either side, as
    `n/a`, is no address.
-#}
{% macro normalised_email(email) -%}
    {%- set trimmed = regexp_remove('lower(' ~ email ~ ')', '^[[:space:]]+|[[:space:]]+$') -%}
    {%- set address = "regexp_replace(" ~ trimmed ~ ", '[+][^@]*@', '@')" -%}
    case
        when {{ address }} like '_%@_%' and {{ address }} not like '%@%@%' then {{ address }}
    end
{%- endmacro %}

{#- The text without what matches. -#}
{% macro regexp_remove(expression, pattern) -%}
    {{ return(adapter.dispatch('regexp_remove')(expression, pattern)) }}
{%- endmacro %}

{% macro default__regexp_remove(expression, pattern) -%}
    regexp_replace({{ expression }}, '{{ pattern }}', '')
{%- endmacro %}

{#- DuckDB stops at the first match unless told to go on. -#}
{% macro duckdb__regexp_remove(expression, pattern) -%}
    regexp_replace({{ expression }}, '{{ pattern }}', '', 'g')
{%- endmacro %}
