import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EmbeddedServer } from '../../support/embedded-server.mjs';
import { childrenOf, signalProcess } from '../../support/processes.js';
import { waitFor } from '../../support/wait-for.js';
import { endAll } from './processes-of.js';
import type { Deed, Fault, Trigger } from './schedule.js';
import type { FaultyRun } from './start-run.js';

/** The limit of a wait for a moment that may not come: the run may not get so far. */
const TRIGGER_LIMIT_MS = 15_000;

/**
 * The text that identifies a request. A call is two requests: its text, and then its parameters, with which it is
 * executed. (The schema's own text contains the names of the calls too, but not with their parameters.)
 */
export const REQUESTS = {
  version: '.version()',
  poll: 'p_program => $1',
  // A parameter with its length in front: a short host name alone appears in many requests.
  'poll, values': `\0\0\0${String.fromCharCode(Buffer.byteLength(hostname()))}${hostname()}`,
  release: 'p_by => $3',
  'release, values': '\0\0\0\x06holder',
  look: '.activity() AS answer',
};

/** Waits for the moment of a fault, causes it and, if necessary, ends it. Never rejects. */
export async function inflict(
  { when, deed }: Fault,
  run: FaultyRun,
  server: EmbeddedServer,
  tell: (what: string) => void,
): Promise<void> {
  try {
    if (when.at === 'request' && when.afterMs === 0) {
      // In the same turn as the request, which is passed on only afterwards.
      await new Promise<void>((resolve, reject) => {
        const limit = setTimeout(() => reject(new Error('no such request')), TRIGGER_LIMIT_MS);
        run.relay.beforeRequest(REQUESTS[when.call], () => {
          clearTimeout(limit);
          tell(deed.kind);
          perform(deed, run, server).then(resolve, reject);
        });
      });
    } else {
      await moment(when, run);
      tell(deed.kind);
      await perform(deed, run, server);
    }
    tell(`${deed.kind}: over`);
  } catch (error) {
    tell(`${deed.kind} did not come to pass: ${String(error)}`);
  }
}

async function moment(when: Trigger, run: FaultyRun): Promise<void> {
  const look = { limitMs: TRIGGER_LIMIT_MS, intervalMs: 3 };
  if (when.at === 'request') {
    let passed = false;
    run.relay.beforeRequest(REQUESTS[when.call], () => (passed = true));
    await waitFor('the request', () => passed || run.hasEnded(), look);
  } else if (when.at === 'child') {
    const said = () => run.beats().some((line) => line.endsWith(` ${when.word}`));
    await waitFor('the child', () => said() || run.hasEnded(), look);
  }
  if (run.hasEnded()) throw new Error('the run had ended');
  await sleep(when.afterMs);
}

async function perform(deed: Deed, run: FaultyRun, server: EmbeddedServer): Promise<void> {
  switch (deed.kind) {
    case 'kill holder':
      signalProcess(run.pid, 'SIGKILL');
      return;
    case 'kill guard, then holder':
      for (const pid of guardsOf(run)) signalProcess(pid, 'SIGKILL');
      if (deed.gapMs > 0) await sleep(deed.gapMs);
      signalProcess(run.pid, 'SIGKILL');
      return;
    case 'kill child': {
      const pid = Number(run.beats()[0]?.split(' ')[2]);
      if (pid > 1) signalProcess(pid, 'SIGKILL');
      return;
    }
    case 'machine dies': {
      signalProcess(run.pid, 'SIGSTOP');
      endAll(run.home);
      return;
    }
    case 'stop holder':
      signalProcess(run.pid, 'SIGSTOP');
      await sleep(deed.forMs);
      signalProcess(run.pid, 'SIGCONT');
      return;
    case 'network':
      if (deed.mode === 'cut') {
        run.relay.cut();
        return;
      }
      run.relay.set(deed.mode);
      await sleep(deed.forMs);
      {
        run.relay.set('pass');
        return;
      }
    case 'network slow':
      run.relay.set({ delayMs: deed.delayMs });
      await sleep(deed.forMs);
      {
        run.relay.set('pass');
        return;
      }
    case 'answers lost':
      run.relay.dropAnswersAfter(0);
      await sleep(deed.forMs);
      {
        run.relay.set('pass');
        return;
      }
    case 'database restarts':
      return server.restart(deed.mode);
  }
}

function guardsOf(run: FaultyRun): number[] {
  return childrenOf(run.pid).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('migrate-lock-guard');
    } catch {
      return false;
    }
  });
}
