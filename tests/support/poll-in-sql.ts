import type postgres from 'postgres';

interface Poll {
  /** The schema version of the client. */
  program?: number;
  secret?: string;
  ttlMs?: number;
  client?: { host?: string | null; pid?: number | null; command?: string | null };
  runKey?: string | null;
  orphans?: string;
  isLast?: boolean;
  listens?: boolean;
}

/** One poll in plain SQL, as a client other than the program, on the test's own session. */
export function pollInSql(
  sql: postgres.Sql | postgres.TransactionSql,
  instanceId: string,
  {
    program = 1,
    secret = 's',
    ttlMs = 30_000,
    client = {},
    runKey = null,
    orphans = 'terminate',
    isLast = true,
    listens = false,
  }: Poll = {},
) {
  return sql<{ answer: { outcome: string } & Record<string, unknown> }[]>`
    SELECT migrate_lock.poll(
      p_program => ${program}, p_instance_id => ${instanceId}, p_secret => ${secret}, p_ttl_ms => ${ttlMs},
      p_host => ${client.host ?? null}, p_pid => ${client.pid ?? null}, p_command => ${client.command ?? null}, p_command_sha256 => 'sha', p_run_key => ${runKey},
      p_failure_memory_ms => NULL, p_respect => NULL, p_orphans => ${orphans}, p_seen => NULL,
      p_poll_interval_ms => 1000, p_last => ${isLast}, p_listens => ${listens}) AS answer`;
}
