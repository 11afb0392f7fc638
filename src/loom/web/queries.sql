-- name: schema_version
select private.schema_version()
