import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import type { EventBody } from '../../../src/events/events.js';
import type { Held } from '../../../src/lock/answers.js';
import { WaitReport } from '../../../src/lock/wait-report.js';

const NAMELESS: Held = {
  outcome: 'held',
  holder: null,
  queueLength: 3,
  orphans: null,
  listens: false,
  listening: 0,
  connectionsLeft: 50,
  retryAfterMs: null,
};

test('reports a holder without a name only when the state lasts longer than a moment', async () => {
  const told: EventBody[] = [];
  const report = new WaitReport((event) => told.push(event), 30_000);
  const startedAtMs = performance.now();
  while (performance.now() < startedAtMs + 700) {
    report.held(NAMELESS);
    await sleep(20);
  }
  if (performance.now() < startedAtMs + 1_000) expect(told).toEqual([]);
  while (performance.now() < startedAtMs + 1_500) {
    report.held(NAMELESS);
    await sleep(20);
  }
  expect(told).toMatchObject([{ event: 'lock.waiting', holder: null, queueLength: 3 }]);
});
