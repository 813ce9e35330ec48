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
const release: Step = { do: 'release', who: first, by: 'holder', work: 'unknown', isForged: false };

const attack = (attack: Attack): Step => ({ do: 'attack', calls: [{ who: first, attack }] });
const NULL = 0;

/** What was wrong once, shrunk: tried before everything else. */
export const FOUND: readonly (readonly Step[])[] = [
  // The clock steps back behind the end of a lease that was released: the lock was held by nobody for an hour.
  [poll(first), release, { do: 'step the clock', ms: -3_600_000 }, poll(second)],
  // The same after a cleanup.
  [
    poll(first),
    { do: 'wait for the end', plusUs: 0 },
    { do: 'cleanup' },
    { do: 'step the clock', ms: -3_600_000 },
    poll(second),
  ],
  // An attempt that was delayed on its way comes after the release: it got a lease that nobody knew of.
  [poll(first), release, poll({ client: 0, age: 1 }), poll(second)],
  // A secret that was NULL proved whatever it was asked about: another role released the lease.
  [poll(first), attack({ call: 'release', knowsSecret: false, odd: [{ parameter: 1, value: NULL }] })],
  // Who had read a secret in the server's log released, extended and gave back another role's lease.
  [
    poll(first),
    attack({ call: 'release', knowsSecret: true, odd: [] }),
    attack({ call: 'extend', knowsSecret: true, odd: [] }),
    attack({ call: 'leave', knowsSecret: true, odd: [] }),
  ],
];
