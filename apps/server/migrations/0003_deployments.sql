-- A file of an upload, content-addressed within its project. The bytes lie on disk under the same hash.
create table source_blob (
  project_id text not null references project (id) on delete cascade,
  hash text not null,
  size bigint not null,
  created_at timestamptz not null default now(),
  primary key (project_id, hash)
);

-- One upload: the list of its files. `files` is an array of {path, hash, size, executable} or {path, link}.
create table source (
  id text primary key,
  project_id text not null references project (id) on delete cascade,
  hash text not null,
  files jsonb not null,
  created_at timestamptz not null default now(),
  unique (project_id, hash)
);

-- Immutable result of a build. `layers`: ids, the topmost first; a static site has none and lies with the ingress under `site_id`.
create table release (
  id text primary key,
  project_id text not null references project (id) on delete cascade,
  source_id text not null references source (id),
  detection jsonb not null,
  layers text[] not null,
  site_id text,
  created_at timestamptz not null default now()
);
create index release_project_id on release (project_id);

create table deployment (
  id text primary key,
  project_id text not null references project (id) on delete cascade,
  -- First label of its own URL, <slug>--<project>.
  slug text not null unique,
  source_id text not null references source (id),
  release_id text references release (id),
  config_version_id text references config_version (id),
  -- What the user asked for: contract's DeployOptions without env.
  options jsonb not null,
  status text not null check (status in ('PENDING', 'PROVISIONING', 'BUILDING', 'RUNNING', 'SLEEPING', 'STOPPED', 'FAILED', 'DESTROYED')),
  -- What it shall be; the planner works from this. `processes`: contract's ProcessPlan[].
  desired text not null check (desired in ('running', 'sleeping', 'stopped', 'destroyed')),
  -- Becomes the serving one as soon as it answers.
  promote_when_healthy boolean not null default true,
  processes jsonb not null default '[]',
  error_code text,
  error_message text,
  created_by text,
  -- Lease of the server that reconciles it. Every take-over adds one to the epoch, which fences orders to the host.
  lease_holder text,
  lease_expires_at timestamptz,
  epoch integer not null default 0,
  -- Time of the latest promotion, for retention and for choosing what to roll back to.
  promoted_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index deployment_project_id on deployment (project_id, created_at desc);
create index deployment_unfinished on deployment (status) where status <> 'DESTROYED';

alter table project
  add constraint project_serving_deployment foreign key (serving_deployment_id) references deployment (id) on delete set null;

create table operation (
  id text primary key,
  deployment_id text not null references deployment (id) on delete cascade,
  kind text not null,
  status text not null check (status in ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
  -- Contract's Step[]: a playbook is read and written as a whole by the one who holds the lease.
  steps jsonb not null default '[]',
  cancel_requested boolean not null default false,
  created_by text,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  ended_at timestamptz
);
create index operation_deployment_id on operation (deployment_id, created_at desc);

-- A sandbox that belongs to a deployment. The row is written before the sandbox is made: what runs without one is nobody's and is ended.
create table instance (
  -- Also the sandbox's id.
  id text primary key,
  deployment_id text not null references deployment (id) on delete cascade,
  kind text not null check (kind in ('instance', 'builder', 'command')),
  process text not null,
  number integer not null,
  status text not null check (status in ('CREATING', 'STARTING', 'RUNNING', 'DRAINING', 'FAILED', 'GONE')),
  host text,
  port integer,
  exit_code integer,
  error_message text,
  -- How far its output has been taken into the log store.
  output_offset bigint not null default 0,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  ended_at timestamptz
);
create index instance_deployment_id on instance (deployment_id);

-- Every change that the reconciler has to look at wakes it through this channel, with the deployment's id.
create function notify_deployment() returns trigger language plpgsql as $$
begin
  perform pg_notify('deployment', new.id);
  return new;
end $$;
create trigger deployment_changed after insert or update of desired, status, processes, promote_when_healthy on deployment
  for each row execute function notify_deployment();

create function notify_operation() returns trigger language plpgsql as $$
begin
  perform pg_notify('deployment', new.deployment_id);
  return new;
end $$;
create trigger operation_changed after insert or update of cancel_requested on operation
  for each row execute function notify_operation();
