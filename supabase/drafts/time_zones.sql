-- Each text that is no IANA name of a zone as Loom takes it, and the zone that it becomes: the same name in other letters, the zone
-- that an old short name stands for, else UTC.
select odd.original, coalesce(known.name, 'UTC') as becomes
from (
  select u.timezone as original from public.users as u
  union
  select p.timezone from public.notification_preferences as p
  union
  select a.timezone from public.coach_availability as a
) as odd
left join (
  values
    ('cet', 'Europe/Brussels'), ('cst6cdt', 'America/Chicago'), ('cuba', 'America/Havana'), ('eet', 'Europe/Athens'),
    ('egypt', 'Africa/Cairo'), ('eire', 'Europe/Dublin'), ('est', 'America/Panama'), ('est5edt', 'America/New_York'),
    ('gb', 'Europe/London'), ('gb-eire', 'Europe/London'), ('hongkong', 'Asia/Hong_Kong'), ('hst', 'Pacific/Honolulu'),
    ('iceland', 'Atlantic/Reykjavik'), ('iran', 'Asia/Tehran'), ('israel', 'Asia/Jerusalem'), ('jamaica', 'America/Jamaica'),
    ('japan', 'Asia/Tokyo'), ('kwajalein', 'Pacific/Kwajalein'), ('libya', 'Africa/Tripoli'), ('met', 'Europe/Brussels'),
    ('mst', 'America/Phoenix'), ('mst7mdt', 'America/Denver'), ('navajo', 'America/Denver'), ('nz', 'Pacific/Auckland'),
    ('nz-chat', 'Pacific/Chatham'), ('poland', 'Europe/Warsaw'), ('portugal', 'Europe/Lisbon'), ('prc', 'Asia/Shanghai'),
    ('pst8pdt', 'America/Los_Angeles'), ('roc', 'Asia/Taipei'), ('rok', 'Asia/Seoul'), ('singapore', 'Asia/Singapore'),
    ('turkey', 'Europe/Istanbul'), ('w-su', 'Europe/Moscow'), ('wet', 'Europe/Lisbon')
) as link (short, name) on link.short = lower(btrim(odd.original))
left join (
  select lower(n.name) as lowered, min(n.name) as name from pg_timezone_names as n
  where n.name ~ '^(UTC|GMT|Etc/GMT([+-][0-9]{1,2})?|[A-Z][A-Za-z_]+(/[A-Z][A-Za-z_+-]*){1,2})$'
  group by lower(n.name)
) as known on known.lowered = lower(coalesce(link.name, btrim(odd.original)))
where odd.original is not null
  and (known.name is null or odd.original !~ '^(UTC|GMT|Etc/GMT([+-][0-9]{1,2})?|[A-Z][A-Za-z_]+(/[A-Z][A-Za-z_+-]*){1,2})$')
