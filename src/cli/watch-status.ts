/** `status --watch`. Loaded only for it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { classify, errorCode } from '../db/classify.js';
import { escapeForTerminals } from '../events/json-lines.js';
import type { Output } from '../output/output.js';
import { LiveScreen } from '../ui/live-screen.js';
import { printable } from '../ui/printable.js';
import type { StatusReport } from '../ui/status-text.js';
import { canRedraw, sizeOf } from '../ui/terminal.js';

export interface WatchStatusOptions {
  everyMs: number;
  json: boolean;
  env: NodeJS.ProcessEnv;
  stdout: Output;
  read: () => Promise<StatusReport>;
  describe: (report: StatusReport) => string[];
  explain: (error: unknown) => Error;
}

/** Shows the status until its reader has gone. After a first answer it goes on while the database cannot be used. */
export async function watchStatus(options: WatchStatusOptions): Promise<void> {
  const { everyMs, json, env, stdout, read, describe } = options;
  const screen = !json && canRedraw(env, 1) ? new LiveScreen(stdout, sizeOf(1)) : undefined;
  for (let round = 1; stdout.isGone !== true; round++) {
    let lines: string[];
    try {
      lines = describe(await read());
    } catch (error) {
      if (round === 1 || !mayCome(error)) throw error;
      lines = describeFailure(options, error);
    }
    if (screen !== undefined) await screen.show(lines);
    else {
      if (!json && round > 1) stdout.writeLine('');
      for (const line of lines) stdout.writeLine(line);
    }
    await sleep(everyMs);
  }
}

/** A missing Unix socket too means that the server restarts. */
function mayCome(error: unknown): boolean {
  return ['unavailable', 'contention', 'local'].includes(classify(error));
}

function describeFailure({ json, explain }: WatchStatusOptions, error: unknown): string[] {
  const { message } = explain(error);
  if (json) return [escapeForTerminals(JSON.stringify({ error: { code: errorCode(error), message } }))];
  return [`The database cannot be used yet (${printable(message)}); trying again.`];
}
