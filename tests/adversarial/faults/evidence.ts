import type postgres from 'postgres';

/** The tables into which the children write (tests/support/fixtures/faults/records.mjs). */
export async function createEvidence(sql: postgres.Sql): Promise<void> {
  await sql.unsafe(`
    CREATE TABLE ran (instance_id text PRIMARY KEY, token bigint, pid integer, started_at text, during tstzrange,
                      EXCLUDE USING gist (during WITH &&));
    CREATE TABLE written (id bigserial, token bigint, instance_id text, at timestamptz);
    CREATE TABLE recovered (instance_id text, previous text);
    CREATE TABLE shared (n bigint);
    INSERT INTO shared VALUES (0)`);
}

/** Sessions with a lease's name that have executed a statement. */
export async function taggedSessions(sql: postgres.Sql): Promise<string[]> {
  const rows = await sql<{ name: string; state: string; query: string }[]>`
    SELECT application_name AS name, state, left(query, 60) AS query FROM pg_stat_activity
     WHERE application_name LIKE 'migrate-lock:%' AND datname = current_database() AND query_start IS NOT NULL`;
  return rows.map(({ name, state, query }) => `${name} (${state}): ${query}`);
}

/** Writes under an old token that were committed after one under a newer token. */
export async function lateWrites(sql: postgres.Sql): Promise<string[]> {
  const rows = await sql<{ token: string; newer: string; at: string; committed: string; ms: number }[]>`
    WITH ordered AS (
        SELECT *, max(token) OVER (ORDER BY committed, id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS newer
          FROM (SELECT *, pg_xact_commit_timestamp(xmin) AS committed FROM written) AS w)
    SELECT token, newer, at::text, committed::text FROM ordered WHERE newer > token ORDER BY committed LIMIT 5`;
  return rows.map(
    ({ token, newer, at, committed }) =>
      `token ${token} wrote after token ${newer}: at ${at}, committed ${committed}`,
  );
}

/**
 * Commands that were started without a recovery, though the lease before had an unclean end. All runs have the same command. An end
 * that the history does not show for certain (sessions that were ended) asks for none.
 */
export async function notRecovered(sql: postgres.Sql): Promise<string[]> {
  const rows = await sql<
    { event: string; instanceId: string; by: string; reason: string; signal: string | null; code: number }[]
  >`
    SELECT event, instance_id AS "instanceId", details ->> 'by' AS by, details ->> 'reason' AS reason,
           details ->> 'signal' AS signal, (details ->> 'exitCode')::int AS code
      FROM migrate_lock.migration_lock_audit
     WHERE event IN ('lock.acquired', 'lock.released', 'lock.takeover') ORDER BY id`;
  const ran = new Set((await sql`SELECT instance_id FROM ran`).map((row) => String(row.instance_id)));
  const recovered = new Set(
    (await sql`SELECT instance_id FROM recovered`).map((row) => String(row.instance_id)),
  );
  const found: string[] = [];
  let unclean: string | null = null;
  for (const { event, instanceId, by, reason, signal, code } of rows) {
    if (event === 'lock.acquired') {
      if (unclean !== null && ran.has(instanceId) && !recovered.has(instanceId)) {
        found.push(`${instanceId} started its command without a recovery after ${unclean}`);
      }
      if (recovered.has(instanceId)) unclean = null;
    } else if (event === 'lock.takeover') unclean = `the takeover by ${instanceId}`;
    else if (by === 'guard' || reason === 'deadline' || signal !== null || code >= 128)
      unclean = `${instanceId} (${by})`;
    else if (reason === 'exited' && code === 0) unclean = null;
  }
  return found;
}

export interface Beat {
  token: number;
  instance: string;
  pid: number;
  atMs: number;
  word: string;
}

export function parseBeat(line: string): Beat {
  const [token, instance = '', pid, atMs, word = ''] = line.split(' ');
  return { token: Number(token), instance, pid: Number(pid), atMs: Number(atMs), word };
}

/**
 * Processes of an old token that lived at the same time as one of a newer token; and what children saw of each other.
 */
export function overlaps(beats: readonly Beat[]): string[] {
  const lives = new Map<number, { token: number; firstMs: number; lastMs: number }>();
  for (const { token, atMs } of beats) {
    const life = lives.get(token) ?? { token, firstMs: atMs, lastMs: atMs };
    lives.set(token, {
      token,
      firstMs: Math.min(life.firstMs, atMs),
      lastMs: Math.max(life.lastMs, atMs),
    });
  }
  const ordered = [...lives.values()].sort((a, b) => a.token - b.token);
  const found: string[] = [];
  for (const [index, older] of ordered.entries()) {
    for (const newer of ordered.slice(index + 1)) {
      const ms = Math.round(older.lastMs - newer.firstMs);
      if (ms >= 0)
        found.push(
          `processes of token ${older.token} and of token ${newer.token} lived at once for ${ms} ms`,
        );
    }
  }
  const seen = new Set(
    beats
      .filter(({ word }) => word.startsWith('overlap'))
      .map(({ token, word }) => `token ${token} saw ${word}`),
  );
  return [...found, ...seen];
}
