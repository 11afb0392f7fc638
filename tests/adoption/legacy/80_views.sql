-- Views that run as their owner, past every policy.

create view public.session_details as
select s.id, s.coach_id, s.client_id, s.title, s.description, s.scheduled_at, s.duration_minutes, s.status, s.meeting_url,
  s.notes, s.created_at, s.updated_at,
  c.first_name as coach_first_name, c.email as coach_email, k.first_name as client_first_name, k.email as client_email
from public.sessions as s
join public.users as c on c.id = s.coach_id
join public.users as k on k.id = s.client_id;
create view public.session_titles as select id, title from public.session_details;

create view public.coach_statistics as
select u.id as coach_id, u.email, count(s.id) as sessions, count(distinct s.client_id) as clients
from public.users as u left join public.sessions as s on s.coach_id = u.id
where u.role = 'coach' group by u.id;
create view public.coach_stats as
select u.id as coach_id, count(s.id) * p.session_rate as revenue, avg(f.overall_rating) as rating
from public.users as u
left join public.coach_profiles as p on p.coach_id = u.id
left join public.sessions as s on s.coach_id = u.id and s.status = 'completed'
left join public.session_feedback as f on f.coach_id = u.id
where u.role = 'coach' group by u.id, p.session_rate;
create view public.client_progress as
select u.id as client_id, u.email, count(r.id) as reflections, avg(r.mood_rating) as mood
from public.users as u left join public.reflections as r on r.client_id = u.id
where u.role = 'client' group by u.id;
create view public.client_progress_summary as select client_id, mood from public.client_progress;
create view public.coach_availability_with_timezone as
select a.*, u.timezone as coach_timezone from public.coach_availability as a join public.users as u on u.id = a.coach_id;
create view public.user_accessible_files as
select f.id, f.user_id, f.filename, h.shared_with from public.file_uploads as f
left join public.file_shares as h on h.file_id = f.id;
create view public.coach_pending_session_requests as
select r.*, u.email as client_email from public.session_requests as r join public.users as u on u.id = r.client_id
where r.status = 'pending';
create view public.mfa_admin_dashboard as
select u.id, u.email, u.mfa_enabled, u.mfa_secret is not null as has_secret, count(m.id) as methods
from public.users as u left join public.user_mfa_methods as m on m.user_id = u.id group by u.id;
create view public.mfa_statistics as select method, status, count(*) as users from public.user_mfa_methods group by 1, 2;
create view public.security_dashboard as
select severity, count(*) as events from public.security_audit_log group by severity;
create view public.database_schema_summary as
select relname::text as name, relrowsecurity as row_security from pg_class
where relnamespace = 'public'::regnamespace and relkind = 'r';
create materialized view public.coach_totals as select coach_id, count(*) as sessions from public.sessions group by coach_id;
