import type { Attack } from './attack.js';
import type { Step } from './steps.js';

const first = { client: 0, age: 0 };
const second = { client: 1, age: 0 };

const poll = (who: Extract<Step, { do: 'poll' }>['who']): Step => ({
  do: 'poll',
  who,
  fate: 'answered',
  ttlMs: 30_000,
  isLast: false,
  pollIntervalMs: 1000,
  isRespectful: false,
  isForged: false,
  failureMemoryMs: null,
  otherWork: 'none',
});
const release: Step = {
  do: 'release',
  who: first,
  by: 'holder',
  work: 'unknown',
  end: null,
  isRecovered: false,
  isForged: false,
};

const attack = (attack: Attack): Step => ({ do: 'attack', calls: [{ who: first, attack }] });
const NULL = 0;

/** Earlier failures, reduced: tried before everything else. */
export const FOUND: readonly (readonly Step[])[] = [
  // The clock stepped back behind the end of a released lease: the lock was held by no instance for an hour.
  [poll(first), release, { do: 'step the clock', ms: -3_600_000 }, poll(second)],
  // The same after a cleanup.
  [
    poll(first),
    { do: 'wait for the end', plusUs: 0 },
    { do: 'cleanup' },
    { do: 'step the clock', ms: -3_600_000 },
    poll(second),
  ],
  // A delayed attempt arrived after the release: it acquired a lease that no client knew of.
  [poll(first), release, poll({ client: 0, age: 1 }), poll(second)],
  // A NULL secret proved everything: another role released the lease.
  [poll(first), attack({ call: 'release', knowsSecret: false, odd: [{ parameter: 1, value: NULL }] })],
  // A role that had read a secret in the server's log released, extended and gave back another role's lease.
  [
    poll(first),
    attack({ call: 'release', knowsSecret: true, odd: [] }),
    attack({ call: 'extend', knowsSecret: true, odd: [] }),
    attack({ call: 'leave', knowsSecret: true, odd: [] }),
  ],
];
