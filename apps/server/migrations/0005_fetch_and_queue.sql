-- A deployment from a repository has an empty source until it was fetched.
alter table deployment
  add column unfetched boolean not null default false,
  -- Reads a private repository; sealed, with the deployment's id as the additional data, and gone once it was fetched.
  add column git_token bytea,
  add column git_token_key_id text;

-- Place in the queue for builds, from 1; null when it waits for nobody. Superseded: a newer deployment of the project came while it waited.
alter table operation
  add column queue_position integer,
  add column superseded_by text;

drop trigger operation_progressed on operation;
create trigger operation_progressed after insert or update of status, steps, queue_position on operation
  for each row execute function notify_operation_progress();
