-- Layers on the host, each written down before it is captured: one without a row is nobody's and is removed.
create table layer (
  id text primary key,
  project_id text not null references project (id) on delete cascade,
  kind text not null check (kind in ('dependencies', 'build')),
  created_at timestamptz not null default now(),
  -- Dependencies outlive failed builds for a while, so that the next attempt need not install again.
  used_at timestamptz not null default now()
);
create index layer_project_id on layer (project_id);

-- A step of a playbook has begun or ended: for whoever shows it live. The reconciler does not listen here.
create function notify_operation_progress() returns trigger language plpgsql as $$
begin
  perform pg_notify('operation', new.deployment_id);
  return new;
end $$;
create trigger operation_progressed after insert or update of status, steps on operation
  for each row execute function notify_operation_progress();
