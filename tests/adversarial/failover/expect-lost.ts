import { expect } from '@jest/globals';
import type { LongRun } from './stage.js';

/**
 * Lets the migration of a run continue whose lease the database has lost: it must fail, and its run must
 * report the loss. `holder`: the next holder.
 */
export async function expectLost(run: LongRun, holder: string): Promise<void> {
  run.finish();
  const { code, events, stderr } = await run.cli.done;
  expect({ code, stderr }).toMatchObject({ code: 70 });
  expect(events.find(({ event }) => event === 'child.exited')).toMatchObject({ exitCode: 3 });
  expect(events.find(({ event }) => event === 'lock.lost')).toMatchObject({ holder });
  expect(events.at(-1)).toMatchObject({ event: 'run.finished', outcome: 'lost', exitCode: 70 });
}
