import { Random } from './random.js';

/** What a child does; tests/support/fixtures/faults/child.mjs implements it. */
export interface ChildPart {
  runMs: number;
  ignoresTerm?: true;
  daemon?: true;
  statement?: 'sleep' | 'update';
  /** It soon has no session, so that a takeover waits for nothing: only its end prevents two children at once. */
  silent?: true;
}

export interface RunPlan {
  startAtMs: number;
  ttlMs: number;
  killGraceMs: number;
  child: ChildPart;
  /** Whether the child's connections use the holder's relay, with the same faults. */
  childThroughRelay: boolean;
  stdout: 'file' | 'full' | 'closed' | 'stalled';
  /** The error of the holder's wall clock. */
  skewMs: number;
}

/** The text of a call, or the parameters with which it is executed. */
export type Request = (typeof REQUESTS)[number];
const REQUESTS = ['version', 'poll', 'poll, values', 'release', 'release, values', 'look'] as const;

export type Trigger =
  | { at: 'start'; afterMs: number }
  /** When the call's request passes the relay, or that long after. */
  | { at: 'request'; call: Request; afterMs: number }
  /**
   * The reports of the holder's child: it lives, has opened its interval, has sent its long statement, has no session
   * any more.
   */
  | { at: 'child'; word: 'beat' | 'begun' | 'stated' | 'silent'; afterMs: number };

export type Deed =
  | { kind: 'kill holder' }
  | { kind: 'kill guard, then holder'; gapMs: number }
  | { kind: 'kill child' }
  /** Kills holder, guard and all that they started at the same moment: only the database is left. */
  | { kind: 'machine dies' }
  | { kind: 'stop holder'; forMs: number }
  | { kind: 'network'; mode: 'silent' | 'hold' | 'refuse' | 'cut'; forMs: number }
  | { kind: 'network slow'; delayMs: number; forMs: number }
  | { kind: 'answers lost'; forMs: number }
  | { kind: 'database restarts'; mode: 'fast' | 'immediate' };

export interface Fault {
  run: number;
  when: Trigger;
  deed: Deed;
}

export interface Schedule {
  seed: number;
  runs: RunPlan[];
  faults: Fault[];
  /** Every run has a --recover. */
  recovers?: boolean;
}

const HOUR_MS = 3_600_000;
/** Longer than every lease. */
const LONG_MS = 20_000;

/** The schedule of a seed, always the same. Its effect also depends on the machine's speed. */
export function drawSchedule(seed: number): Schedule {
  const random = new Random(seed);
  const runs = Array.from({ length: random.between(2, 4) }, (_, index) => drawRun(random, index));
  const faults = Array.from({ length: random.pick([1, 1, 2, 2, 3]) }, (_, index) => {
    const run = index === 0 ? 0 : random.between(0, runs.length - 1);
    return drawFault(random, run, runs[run]?.ttlMs ?? 0);
  });
  for (const { run, when } of faults) {
    const plan = runs[run];
    // Only a run whose deadline comes near looks at its sessions.
    if (plan !== undefined && when.at === 'request' && when.call === 'look') plan.child.runMs = LONG_MS;
  }
  return { seed, runs, faults, recovers: seed % 2 === 0 };
}

function drawRun(random: Random, index: number): RunPlan {
  return {
    startAtMs: index === 0 ? 0 : random.between(0, 1_500),
    ttlMs: random.between(30, 40) * 100,
    killGraceMs: random.between(2, 5) * 100,
    child: drawChild(random),
    childThroughRelay: random.chance(0.4),
    stdout: random.pick(['file', 'file', 'file', 'file', 'full', 'closed', 'stalled']),
    skewMs: random.pick([0, 0, 0, 0, HOUR_MS, -HOUR_MS]),
  };
}

function drawChild(random: Random): ChildPart {
  return {
    runMs: random.chance(0.3) ? LONG_MS : random.between(50, 1_000),
    ...(random.chance(0.25) ? { ignoresTerm: true } : {}),
    ...(random.chance(0.2) ? { daemon: true } : {}),
    ...(random.chance(0.35) ? { statement: random.pick(['sleep', 'update']) } : {}),
    ...(random.chance(0.3) ? { silent: true } : {}),
  };
}

function drawFault(random: Random, run: number, ttlMs: number): Fault {
  const deed = drawDeed(random, ttlMs);
  return { run, when: drawTrigger(random), deed };
}

function drawTrigger(random: Random): Trigger {
  const afterMs = random.chance(0.4) ? 0 : random.between(1, 120);
  switch (random.between(0, 4)) {
    case 0:
      return { at: 'start', afterMs: random.between(0, 2_000) };
    case 1:
    case 2:
      return { at: 'request', call: random.pick(REQUESTS), afterMs };
    default:
      return { at: 'child', word: random.pick(['beat', 'begun', 'stated']), afterMs };
  }
}

function drawDeed(random: Random, ttlMs: number): Deed {
  const forMs = random.between(100, ttlMs + 500);
  return random.pick<() => Deed>([
    () => ({ kind: 'kill holder' }),
    () => ({ kind: 'kill holder' }),
    () => ({ kind: 'kill guard, then holder', gapMs: random.chance(0.5) ? 0 : random.between(1, 400) }),
    () => ({ kind: 'kill child' }),
    () => ({ kind: 'machine dies' }),
    () => ({ kind: 'machine dies' }),
    () => ({ kind: 'stop holder', forMs: ttlMs + random.between(-500, 1_500) }),
    () => ({ kind: 'stop holder', forMs: ttlMs + random.between(-500, 1_500) }),
    () => ({ kind: 'network', mode: random.pick(['silent', 'hold', 'refuse', 'cut']), forMs }),
    () => ({ kind: 'network', mode: random.pick(['silent', 'hold']), forMs }),
    () => ({ kind: 'network slow', delayMs: random.between(20, 600), forMs }),
    () => ({ kind: 'answers lost', forMs }),
    () => ({ kind: 'database restarts', mode: random.pick(['fast', 'immediate']) }),
  ])();
}
