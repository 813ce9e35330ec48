import type { EventOf } from '../events/events.js';

export type UncleanEndKind = NonNullable<EventOf<'lock.acquired'>['previousEnd']>['kind'];

/** What happened to the command whose lease ended so. */
export function unclean(kind: UncleanEndKind): string {
  switch (kind) {
    case 'signalled':
      return 'it was ended by a signal, or exited with 128 or more';
    case 'deadline':
      return 'it was ended at its deadline';
    case 'killed':
      return 'migrate-lock was killed, and the guard ended the command';
    case 'expired':
      return 'its lease expired without a release';
    case 'unlocked':
      return 'its lease was ended by `migrate-lock unlock`';
    case 'leftovers':
      return 'processes or database sessions of it had to be ended';
  }
}
