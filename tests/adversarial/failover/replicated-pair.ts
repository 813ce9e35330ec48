import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import postgres from 'postgres';
import { startServer, type EmbeddedServer } from '../../support/embedded-server.mjs';
import { waitFor } from '../../support/wait-for.js';
import { copyData } from './copy-data.js';
import { openStableAddress, type StableAddress } from './stable-address.js';

/** The primary's name for the standby. */
const STANDBY = 'standby';

/** A primary and a standby that follows it by streaming replication, behind one address. */
export class ReplicatedPair {
  private constructor(
    public primary: EmbeddedServer,
    public standby: EmbeddedServer,
    readonly address: StableAddress,
  ) {}

  static async start(): Promise<ReplicatedPair> {
    const settings = { wal_retrieve_retry_interval: '50ms' };
    const [primary, standby] = await Promise.all([startServer({ settings }), startServer({ settings })]);
    // Replication uses the Unix socket in a folder of the server's account, which needs no password.
    const hba = join(primary.dataDirectory, 'pg_hba.conf');
    writeFileSync(hba, `local replication ${primary.user} trust\n${readFileSync(hba, 'utf8')}`);
    const pair = new ReplicatedPair(primary, standby, await openStableAddress(primary));
    await pair.#join();
    return pair;
  }

  /** The superuser's connection string for the address of the pair. */
  get url(): string {
    return this.address.relay.through(this.primary.url);
  }

  /** From now on a commit waits until the standby has it on disk, if the role's settings allow that. */
  async makeSynchronous(): Promise<void> {
    await this.#configure(this.primary, 'synchronous_standby_names', STANDBY);
    await this.#waitForStandby(`sync_state = 'sync'`);
  }

  /** Waits until the standby has applied everything that the primary has written so far. */
  async catchUp(): Promise<void> {
    // This commit flushes earlier writes to disk: a release does not wait for that.
    const [now] = await query(
      this.primary.url,
      `SELECT pg_logical_emit_message(true, 'tests', '')`,
      'SELECT pg_current_wal_lsn()::text AS lsn',
    );
    await this.#waitForStandby(`replay_lsn >= '${String(now?.lsn)}'`);
  }

  /** Nothing reaches the standby from now on. */
  async holdBack(): Promise<void> {
    await this.#configure(this.standby, 'primary_conninfo', '');
    await waitFor(
      'the standby receives nothing',
      async () => (await query(this.standby.url, 'SELECT FROM pg_stat_wal_receiver')).length === 0,
    );
  }

  async letThrough(): Promise<void> {
    await query(this.standby.url, 'ALTER SYSTEM RESET primary_conninfo', 'SELECT pg_reload_conf()');
  }

  /** The standby accepts writes from now on, whatever the primary does. */
  async promote(): Promise<void> {
    await query(this.standby.url, 'SELECT pg_promote()');
  }

  /** The primary's machine fails, the standby is promoted, and the address leads to it. */
  async failOver(): Promise<void> {
    await this.primary.kill();
    await this.promote();
    this.address.leadTo(this.standby);
  }

  /** After a failover: the former standby is the primary, and the former primary a new standby. */
  async reunite(): Promise<void> {
    [this.primary, this.standby] = [this.standby, this.primary];
    this.address.leadTo(this.primary);
    if (this.standby.pid !== null) await this.standby.kill();
    await this.#join();
  }

  async stop(): Promise<void> {
    await Promise.all([this.address.relay.close(), this.primary.stop(), this.standby.stop()]);
  }

  async #join(): Promise<void> {
    await this.primary.halt();
    if (this.standby.pid !== null) await this.standby.halt();
    // Settings of the last pairing: those of ALTER SYSTEM, and a standby's signal file, if it was never promoted.
    for (const file of ['postgresql.auto.conf', 'standby.signal'])
      rmSync(join(this.primary.dataDirectory, file), { force: true });
    await copyData(this.primary, this.standby);
    const { socketDirectory, port, user } = this.primary;
    const source = `host=${socketDirectory} port=${port} user=${user} application_name=${STANDBY}`;
    appendFileSync(join(this.standby.dataDirectory, 'postgresql.conf'), `primary_conninfo = '${source}'\n`);
    writeFileSync(join(this.standby.dataDirectory, 'standby.signal'), '');
    await Promise.all([this.primary.start(), this.standby.start()]);
    await this.#waitForStandby(`state = 'streaming'`);
  }

  async #configure(server: EmbeddedServer, setting: string, value: string): Promise<void> {
    await query(server.url, `ALTER SYSTEM SET ${setting} = '${value}'`, 'SELECT pg_reload_conf()');
  }

  async #waitForStandby(state: string): Promise<void> {
    const question = `SELECT FROM pg_stat_replication WHERE application_name = '${STANDBY}' AND ${state}`;
    await waitFor(
      `the standby: ${state}`,
      async () => (await query(this.primary.url, question)).length === 1,
    );
  }
}

/** Sends statements, each in its own transaction, on a new connection; returns the last answer. */
export async function query(url: string, ...statements: string[]): Promise<Record<string, unknown>[]> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    let rows: Record<string, unknown>[] = [];
    for (const statement of statements) rows = await sql.unsafe(statement);
    return rows;
  } finally {
    await sql.end({ timeout: 1 });
  }
}
