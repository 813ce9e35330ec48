import type { ModelClient, Tables } from './calls.js';
import { CLOCK_BASE_MS } from './model-schema.js';

export interface WorkResult {
  succeeded: boolean;
  exitCode: number;
  durationMs: number;
}

interface Run extends WorkResult {
  instanceId: string;
  client: ModelClient;
  /** Microseconds. */
  finishedAt: number;
}

/** How the work of each run key ended: what `--once` promises. */
export class RunsModel {
  #runs = new Map<string, Run>();

  copy(): RunsModel {
    const copy = new RunsModel();
    copy.#runs = new Map(this.#runs);
    return copy;
  }

  store(
    runKey: string,
    { instanceId, client, finishedAt }: Pick<Run, 'instanceId' | 'client' | 'finishedAt'>,
    result: WorkResult,
  ): void {
    this.#runs.set(runKey, { ...result, instanceId, client, finishedAt });
  }

  /** What a waiter is told when there is nothing to do for it; null: there is. */
  settled(
    runKey: string | null,
    failureMemoryMs: number | null,
    now: number,
  ): Record<string, unknown> | null {
    const run = runKey === null ? undefined : this.#runs.get(runKey);
    if (run === undefined) return null;
    const { succeeded, exitCode, durationMs, instanceId, client, finishedAt } = run;
    const isRecent = failureMemoryMs !== null && finishedAt > now - failureMemoryMs * 1000;
    if (!succeeded && !isRecent) return null;
    const { host, command } = client;
    const finishedAtMs = CLOCK_BASE_MS + Math.floor(finishedAt / 1000);
    return { succeeded, exitCode, durationMs, instanceId, host, command, finishedAtMs };
  }

  table(): Tables['runs'] {
    return Object.fromEntries(
      [...this.#runs].map(([runKey, { succeeded, instanceId, finishedAt }]) => [
        runKey,
        { succeeded, instanceId, finishedAt },
      ]),
    );
  }
}
