import type { WorkResult } from '../../../src/lock/calls.js';
import type { ModelClient, Tables } from './calls.js';
import { CLOCK_BASE_MS } from './model-schema.js';

interface Run extends WorkResult {
  instanceId: string;
  client: ModelClient;
  /** Microseconds. */
  finishedAt: number;
}

/** The result of the work of each run key: the rules of `--once`. */
export class RunsModel {
  #runs = new Map<string, Run>();

  copy(): RunsModel {
    const copy = new RunsModel();
    copy.#runs = new Map(this.#runs);
    return copy;
  }

  /** The same key with another command is different work; without a key there is nothing to store. */
  store(
    { instanceId, client, finishedAt }: Pick<Run, 'instanceId' | 'client' | 'finishedAt'>,
    result: WorkResult,
  ): void {
    if (client.runKey !== null) this.#runs.set(workOf(client), { ...result, instanceId, client, finishedAt });
  }

  /** The answer to a waiter whose work is done; null: it has to be done. */
  settled(waiter: ModelClient, failureMemoryMs: number | null, now: number): Record<string, unknown> | null {
    const run = waiter.runKey === null ? undefined : this.#runs.get(workOf(waiter));
    if (run === undefined) return null;
    const isRecent = failureMemoryMs !== null && run.finishedAt > now - failureMemoryMs * 1000;
    return run.succeeded || isRecent ? describeRun(run) : null;
  }

  hasSucceeded(runKey: string, commandSha256: string): boolean {
    return this.#runs.get(`${runKey} ${commandSha256}`)?.succeeded === true;
  }

  /** The newest run of the key that succeeded, or failed. More than one ended in the same microsecond. */
  lastOf(runKey: string, succeeded: boolean): Run[] {
    const runs = [...this.#runs.values()].filter(
      (run) => run.client.runKey === runKey && run.succeeded === succeeded,
    );
    const last = Math.max(...runs.map(({ finishedAt }) => finishedAt));
    return runs.filter(({ finishedAt }) => finishedAt === last);
  }

  /** Another command of the same key, the one whose work ended last; null: none. */
  otherCommand({ runKey, commandSha256 }: ModelClient): string | null {
    const others = [...this.#runs.values()].filter(
      ({ client }) => client.runKey === runKey && client.commandSha256 !== commandSha256,
    );
    const [last] = others.sort((a, b) => b.finishedAt - a.finishedAt);
    return last?.client.command ?? null;
  }

  table(): Tables['runs'] {
    return Object.fromEntries(
      [...this.#runs].map(([work, { succeeded, instanceId, finishedAt }]) => [
        work,
        { succeeded, instanceId, finishedAt },
      ]),
    );
  }
}

/** What a client sees of a run. */
export function describeRun({ client, finishedAt, ...run }: Run): Record<string, unknown> {
  const { succeeded, exitCode, durationMs, instanceId } = run;
  const { host, command } = client;
  const finishedAtMs = CLOCK_BASE_MS + Math.floor(finishedAt / 1000);
  return { succeeded, exitCode, durationMs, instanceId, host, command, finishedAtMs };
}

function workOf({ runKey, commandSha256 }: ModelClient): string {
  return `${runKey} ${commandSha256}`;
}
