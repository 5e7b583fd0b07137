{#-
    The sources that nodes rest on, however far down, as the audit of the loads names them: `raw_lana` is
    lana's. `known` has those of the nodes that were asked for before.
-#}
{% macro source_names(node_ids, known) %}
    {%- set names = [] -%}
    {%- for node_id in node_ids -%}
        {%- if node_id in graph.sources -%}
            {%- set schema = graph.sources[node_id].schema[schema_prefix() | length:] -%}
            {%- do names.append(modules.re.sub('^raw_', '', schema)) -%}
        {%- else -%}
            {%- if node_id not in known -%}
                {%- set beneath = graph.nodes[node_id].depends_on.get('nodes', []) -%}
                {%- do known.update({node_id: source_names(beneath, known)}) -%}
            {%- endif -%}
            {%- do names.extend(known[node_id]) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(names | unique | sort) }}
{% endmacro %}
