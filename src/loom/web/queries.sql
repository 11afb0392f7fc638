-- name: schema_version
-- role: service_role
select private.schema_version()
