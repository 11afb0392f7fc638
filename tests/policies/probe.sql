-- What the RLS matrix runs its attempts with. Lives in a schema of its own, in test databases only.
create schema matrix;
grant usage on schema matrix to anon, authenticated, service_role;

-- Runs each statement as the current role, notes what came of it, and takes it back; with p_keep, what touched no row
-- stays, to show that it changed nothing. Statements that begin with "select" or "with" give one text value; others the
-- number of rows they touched.
create function matrix.attempt(p_statements text[], p_keep boolean default false)
returns jsonb
language plpgsql
security invoker
set client_min_messages = error
as $$
declare
  outcomes jsonb := '[]';
  statement text;
  touched bigint;
  answer text;
  failed_state text;
  failed_constraint text;
  failed_message text;
  failed_detail text;
  failed_hint text;
begin
  foreach statement in array p_statements loop
    touched := null;
    answer := null;
    failed_state := null;
    failed_constraint := null;
    failed_message := null;
    failed_detail := null;
    failed_hint := null;
    begin
      if statement ~* '^\s*(select|with)\M' then
        execute statement into answer;
      else
        execute statement;
      end if;
      get diagnostics touched = row_count;
      set constraints all immediate;
      if not p_keep or touched > 0 then
        raise exception using errcode = 'LM000';
      end if;
    exception
      when sqlstate 'LM000' then
        null;
      when others then
        get stacked diagnostics
          failed_state = returned_sqlstate,
          failed_constraint = constraint_name,
          failed_message = message_text,
          failed_detail = pg_exception_detail,
          failed_hint = pg_exception_hint;
    end;
    outcomes := outcomes || jsonb_build_object(
      'rows', touched,
      'value', answer,
      'state', failed_state,
      'constraint', failed_constraint,
      'message', failed_message,
      'detail', failed_detail,
      'hint', failed_hint
    );
  end loop;
  return outcomes;
end;
$$;

grant execute on function matrix.attempt(text[], boolean) to anon, authenticated, service_role;

-- Names of rows, for people who read the cells.
create table matrix.labels (id uuid primary key, label text not null);
create function matrix.label(p_id uuid) returns text language sql stable as $$
  select l.label from matrix.labels l where l.id = p_id
$$;
create function matrix.uid(p_label text) returns uuid language sql stable as $$
  select l.id from matrix.labels l where l.label = p_label
$$;

-- What is in a table, in one word.
create function matrix.digest(p_table regclass) returns text language plpgsql as $$
declare
  answer text;
begin
  execute format('select md5(coalesce(string_agg(t::text, chr(10) order by t::text), %L)) from %s t', '', p_table)
  into answer;
  return answer;
end;
$$;
