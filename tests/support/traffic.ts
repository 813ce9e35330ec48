import postgres from 'postgres';

/** Sessions that write to a table without a pause, each on a connection of its own. */
export interface Writers {
  /** Ends them. `longestMs`: the longest time that a write took. */
  stop: () => Promise<{ writes: number; longestMs: number }>;
}

export function startWriters(url: string, table: string, count: number): Writers {
  const sql = postgres(url, { max: count, fetch_types: false, connection: { application_name: 'web' } });
  let isStopped = false;
  let writes = 0;
  let longestMs = 0;
  const write = async (): Promise<void> => {
    while (!isStopped) {
      const beganAtMs = performance.now();
      await sql.unsafe(`INSERT INTO ${table} DEFAULT VALUES`);
      longestMs = Math.max(longestMs, performance.now() - beganAtMs);
      writes++;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const all = Promise.all(Array.from({ length: count }, write));
  all.catch(() => undefined);
  return {
    stop: async () => {
      isStopped = true;
      await all;
      await sql.end();
      return { writes, longestMs };
    },
  };
}

/** A transaction of another client that stays open. */
export interface OpenTransaction {
  pid: number;
  send: (statement: string) => Promise<unknown>;
  end: () => Promise<void>;
}

/** Opens a transaction, runs the statements in it, and stays idle in it. */
export async function openTransaction(url: string, ...statements: string[]): Promise<OpenTransaction> {
  const sql = postgres(url, { max: 1, fetch_types: false, connection: { application_name: 'web' } });
  await sql.unsafe('BEGIN');
  for (const statement of statements) await sql.unsafe(statement);
  const [row] = await sql.unsafe<{ pid: number }[]>('SELECT pg_backend_pid() AS pid');
  let hasEnded = false;
  return {
    pid: row?.pid ?? 0,
    send: (statement) => sql.unsafe(statement),
    end: async () => {
      if (hasEnded) return;
      hasEnded = true;
      await sql.unsafe('ROLLBACK');
      await sql.end();
    },
  };
}

/** A statement of another client that is sent and waits. `waitedMs` resolves when it is done. */
export function sendStatement(url: string, statement: string): { waitedMs: Promise<number> } {
  const sql = postgres(url, { max: 1, fetch_types: false, connection: { application_name: 'web' } });
  const beganAtMs = performance.now();
  const waitedMs = sql
    .unsafe(statement)
    .then(() => performance.now() - beganAtMs)
    .finally(() => sql.end());
  waitedMs.catch(() => undefined);
  return { waitedMs };
}
