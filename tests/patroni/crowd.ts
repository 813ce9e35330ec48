import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startCli, type CliResult, type RunningCli } from '../support/run-cli.js';
import { waitFor } from '../support/wait-for.js';

const MIGRATION = new URL('./migration.mjs', import.meta.url).pathname;

/** When a migration lived, in nanoseconds of the monotonic clock. */
export interface Interval {
  instanceId: string;
  first: bigint;
  last: bigint;
}

export interface Ended extends CliResult {
  instanceId: string;
}

/** Runs of the same migration at once. */
export class Crowd {
  readonly #folder = mkdtempSync(join(tmpdir(), 'migrate-lock-patroni-'));
  #runs: RunningCli[] = [];

  start(count: number, urls: string[]): void {
    const words = ['run', '--ttl', '20s', '--wait-timeout', '4m', '--', 'node', MIGRATION, this.#folder];
    this.#runs = Array.from({ length: count }, (_, at) =>
      startCli(words, { env: { DATABASE_URL: urls[at % urls.length] } }),
    );
  }

  /** Waits until this many migrations have started. */
  async waitForMigrations(count: number): Promise<void> {
    await waitFor('the migrations', () => readdirSync(this.#folder).length >= count, { limitMs: 60_000 });
  }

  async ends(): Promise<Ended[]> {
    const ends = await Promise.all(this.#runs.map(({ done }) => done));
    return ends.map((end) => ({ ...end, instanceId: end.events[0]?.instanceId ?? '' }));
  }

  /** In the order of their starts. */
  intervals(): Interval[] {
    return readdirSync(this.#folder)
      .map((instanceId) => {
        const beats = readFileSync(join(this.#folder, instanceId), 'utf8').trim().split('\n').map(BigInt);
        return { instanceId, first: beats[0] ?? 0n, last: beats.at(-1) ?? 0n };
      })
      .sort((a, b) => (a.first < b.first ? -1 : 1));
  }

  close(): void {
    for (const run of this.#runs) run.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** The pairs that lived at the same time. */
export function overlaps(intervals: Interval[]): [string, string][] {
  return intervals.flatMap((one, at) =>
    intervals
      .slice(at + 1)
      .filter((other) => other.first < one.last)
      .map((other): [string, string] => [one.instanceId, other.instanceId]),
  );
}
