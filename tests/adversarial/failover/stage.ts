import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startCli, type RunningCli } from '../../support/run-cli.js';
import { waitFor } from '../../support/wait-for.js';
import { query } from './replicated-pair.js';

const LONG_MIGRATION = new URL('./long-migration.mjs', import.meta.url).pathname;
const SHORT_MIGRATION = new URL('../../support/fixtures/interval.mjs', import.meta.url).pathname;

/** A run whose migration (long-migration.mjs) runs. */
export interface LongRun {
  cli: RunningCli;
  instanceId: string;
  fencingToken: number | undefined;
  childPid: number;
  /** Lets the migration continue to its last transaction. */
  finish: () => void;
}

/** Runs on one address, for any server behind it, and the rows that they leave in its table `ran`. */
export class Stage {
  readonly #folder = mkdtempSync(join(tmpdir(), 'migrate-lock-failover-'));
  #migrations = 0;

  constructor(readonly url: string) {}

  /** The table's exclusion constraint refuses a second migration at the same time. */
  async prepare(): Promise<void> {
    await query(
      this.url,
      'DROP SCHEMA IF EXISTS migrate_lock CASCADE',
      'DROP TABLE IF EXISTS ran',
      'ALTER ROLE CURRENT_USER RESET ALL',
      'CREATE TABLE ran (instance_id text, during tstzrange, EXCLUDE USING gist (during WITH &&))',
    );
  }

  run(args: string[], url = this.url): RunningCli {
    return startCli(['run', ...args], { env: { DATABASE_URL: url } });
  }

  async startLong(args: string[] = []): Promise<LongRun> {
    const file = join(this.#folder, `go-${++this.#migrations}`);
    const cli = this.run([...args, '--', 'node', LONG_MIGRATION, file]);
    const { instanceId, fencingToken } = await cli.waitForEvent('lock.acquired');
    const { childPid } = await cli.waitForEvent('child.started');
    await waitFor('the migration runs', async () => (await this.ran()).has(instanceId));
    return { cli, instanceId, fencingToken, childPid, finish: () => writeFileSync(file, '') };
  }

  /** A run with a short migration. */
  short(): RunningCli {
    return this.run(['--wait-timeout', '50s', '--', 'node', SHORT_MIGRATION]);
  }

  /** By the instance id: whether its migration has ended. */
  async ran(): Promise<Map<string, boolean>> {
    const rows = await query(this.url, 'SELECT instance_id AS id, NOT upper_inf(during) AS over FROM ran');
    return new Map(rows.map(({ id, over }) => [String(id), over === true]));
  }

  async holder(): Promise<string | undefined> {
    const [lease] = await query(
      this.url,
      'SELECT instance_id AS id FROM migrate_lock.migration_lock WHERE released_at IS NULL',
    );
    return lease?.id as string | undefined;
  }

  close(): void {
    rmSync(this.#folder, { recursive: true });
  }
}
