import fc from 'fast-check';
import type { EndDetails } from '../../../src/lock/calls.js';
import { attack, type Attack } from './attack.js';

/** The identity of a call: a client's present one (0), an earlier one, or the last holder's (LAST_HOLDER). */
export interface Who {
  client: number;
  age: number;
}

export const LAST_HOLDER = -1;

export type OtherWork = 'none' | 'key' | 'command';

/** The possible steps. Every step can be taken in every state, so that any part of a run is a run. */
export type Step =
  | {
      do: 'poll';
      who: Who;
      /** `lost`: the client never gets the answer. `rolledBack`: the database does not keep it either. */
      fate: 'answered' | 'lost' | 'rolledBack';
      ttlMs: number;
      isLast: boolean;
      pollIntervalMs: number;
      /** Sends the token of the lease that it saw and that still runs on its own clock. */
      isRespectful: boolean;
      isForged: boolean;
      /** How long a failure of the same work counts for it; null: not at all. */
      failureMemoryMs: number | null;
      /** Waits for other work than usual: another run key, or another command under the same one. */
      otherWork: OtherWork;
    }
  | {
      do: 'release';
      who: Who;
      by: 'holder' | 'guard';
      work: 'done' | 'failed' | 'unknown';
      /** How the command ended; null: none was started. */
      end: (EndDetails['kind'] & string) | null;
      isRecovered: boolean;
      isForged: boolean;
    }
  | { do: 'leave'; who: Who; isForged: boolean }
  | { do: 'extend'; who: Who; ttlMs: number; isForged: boolean }
  | { do: 'assert'; who: Who; tokenOffset: number }
  | { do: 'cleanup' }
  /** Another role tries everything while an instance holds the lock; each call names an instance. */
  | { do: 'attack'; calls: { who: Who; attack: Attack }[] }
  | { do: 'status' }
  /** What a waiter reads between two polls. */
  | { do: 'look'; client: number; otherWork: OtherWork; failureMemoryMs: number | null }
  /** Somebody waits for a run key without the lock. */
  | { do: 'watch'; runKey: string; watcher: string; isLast: boolean }
  /** The client ends without a call; what comes after it is another run. */
  | { do: 'crash'; client: number }
  /** Time passes: for all, as during a suspension of the holder (SIGSTOP). */
  | { do: 'wait'; ms: number }
  /** Time passes until this long after the lease's end (before it: negative). */
  | { do: 'wait for the end'; plusUs: number }
  /** The database's clock is set, all other clocks are not. */
  | { do: 'step the clock'; ms: number }
  /** The same, back to this long before the end of the last lease, released or not. */
  | { do: 'step back behind the end'; byUs: number };

export const CLIENTS = 3;

const SECOND = 1000;
const HOUR = 3600 * SECOND;
const client = fc.nat({ max: CLIENTS - 1 });
const present = fc.record({ client, age: fc.constant(0) });
const past = fc.record({ client, age: fc.integer({ min: 1, max: 3 }) });
const who = fc.oneof({ weight: 6, arbitrary: present }, { weight: 1, arbitrary: past });
/** Ended leases are used as often as present ones: they have to be refused. */
const lastHolder = fc.record({ client, age: fc.constant(LAST_HOLDER) });
const whoever = fc.oneof(present, past, lastHolder);
const target = fc.oneof({ weight: 2, arbitrary: present }, past, lastHolder);
const calls = fc.array(fc.record({ who: target, attack }), { minLength: 1, maxLength: 3, size: 'max' });
const ttlMs = fc.oneof(fc.constantFrom(1, 2, 1000, 30_000), fc.integer({ min: 1, max: 120_000 }));
const rarely = fc.oneof(
  { weight: 7, arbitrary: fc.constant(false) },
  { weight: 1, arbitrary: fc.constant(true) },
);

const otherWork = fc.oneof(
  { weight: 6, arbitrary: fc.constant('none' as const) },
  { weight: 1, arbitrary: fc.constantFrom('key' as const, 'command' as const) },
);
const failureMemoryMs = fc.constantFrom(null, 1, 60_000);
const end = fc.oneof(
  fc.constantFrom('clean' as const, null),
  fc.constantFrom('signalled' as const, 'deadline' as const, 'killed' as const, 'leftovers' as const),
);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.record({
      do: fc.constant('poll' as const),
      who,
      fate: fc.oneof(
        { weight: 6, arbitrary: fc.constant('answered' as const) },
        { weight: 1, arbitrary: fc.constantFrom('lost' as const, 'rolledBack' as const) },
      ),
      ttlMs,
      isLast: fc.boolean(),
      pollIntervalMs: fc.constantFrom(100, 1000, 10_000),
      isRespectful: fc.boolean(),
      isForged: rarely,
      failureMemoryMs,
      otherWork,
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('release' as const),
      who,
      by: fc.constantFrom('holder' as const, 'guard' as const),
      // After it, little is left to happen.
      work: fc.oneof(
        { weight: 1, arbitrary: fc.constant('done' as const) },
        { weight: 4, arbitrary: fc.constant('failed' as const) },
        { weight: 1, arbitrary: fc.constant('unknown' as const) },
      ),
      end,
      isRecovered: rarely,
      isForged: rarely,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), who, isForged: rarely }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('extend' as const), who: whoever, ttlMs, isForged: rarely }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('assert' as const),
      who: whoever,
      tokenOffset: fc.constantFrom(0, 0, 0, -1, 1),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cleanup' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('status' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('look' as const), client, otherWork, failureMemoryMs }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('watch' as const),
      runKey: fc.constantFrom('key', 'key', 'other'),
      watcher: fc.constantFrom('one', 'two'),
      isLast: rarely,
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('attack' as const), calls }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), client }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.oneof(fc.constantFrom(1, 1000), fc.integer({ min: 0, max: 200_000 })),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('wait for the end' as const),
      plusUs: fc.oneof(fc.constantFrom(-1, 0, 1, 500), fc.integer({ min: -2 * SECOND, max: 2000 * SECOND })),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('step the clock' as const),
      ms: fc.oneof(fc.constantFrom(-HOUR, -3 * HOUR, HOUR, -1, 1), fc.integer({ min: -60_000, max: 60_000 })),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('step back behind the end' as const),
      byUs: fc.constantFrom(1, 1000 * SECOND),
    }),
  },
);

/** A run: short ones find the most, as each begins with an empty lock. */
export const run: fc.Arbitrary<Step[]> = fc.array(step, { minLength: 1, maxLength: 40, size: 'max' });
