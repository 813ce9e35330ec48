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
    const { succeeded, exitCode, durationMs, instanceId, client, finishedAt } = run;
    const isRecent = failureMemoryMs !== null && finishedAt > now - failureMemoryMs * 1000;
    if (!succeeded && !isRecent) return null;
    const { host, command } = client;
    const finishedAtMs = CLOCK_BASE_MS + Math.floor(finishedAt / 1000);
    return { succeeded, exitCode, durationMs, instanceId, host, command, finishedAtMs };
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

function workOf({ runKey, commandSha256 }: ModelClient): string {
  return `${runKey} ${commandSha256}`;
}
