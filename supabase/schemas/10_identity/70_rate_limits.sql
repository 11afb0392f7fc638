create table if not exists private.rate_limits (
  bucket text not null,
  window_start timestamptz not null,
  hits integer not null default 0,
  primary key (bucket, window_start),
  constraint rate_limits_hits_check check (hits >= 0)
);
comment on table private.rate_limits is
  'How often something was tried in a window, counted in the database so that all processes count together.';
create index if not exists rate_limits_window_start_idx on private.rate_limits (window_start);

revoke all on private.rate_limits from public, anon, authenticated, service_role;
grant select, insert, update, delete on private.rate_limits to service_role;
alter table private.rate_limits enable row level security;

create or replace function private.hit_rate_limit(p_bucket text, p_limit integer, p_window_seconds integer)
returns integer
language plpgsql
security invoker
set search_path = ''
as $$
declare
  window_began timestamptz :=
    to_timestamp(floor(extract(epoch from clock_timestamp()) / p_window_seconds) * p_window_seconds);
  counted integer;
begin
  insert into private.rate_limits as r (bucket, window_start, hits) values (p_bucket, window_began, 1)
  on conflict (bucket, window_start) do update set hits = r.hits + 1
  returning r.hits into counted;
  if counted <= p_limit then
    return 0;
  end if;
  return greatest(1, ceil(extract(epoch from window_began) + p_window_seconds - extract(epoch from clock_timestamp()))::integer);
end;
$$;
comment on function private.hit_rate_limit(text, integer, integer) is
  'Counts one try; 0 when it is within the limit, else the seconds to wait for the next window.';
revoke execute on function private.hit_rate_limit(text, integer, integer) from public, anon, authenticated, service_role;
grant execute on function private.hit_rate_limit(text, integer, integer) to service_role;
