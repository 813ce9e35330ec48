import type { Edit, Mutation } from './model-schema.js';

/** What stands at a mark is replaced. */
const at = (mark: string, to: string): Edit => ({ mark, to });

/** A mutation of one function, at one mark or more. */
const broken = (functionName: string, name: string, ...edits: readonly Edit[]): Mutation => ({
  name: `${functionName}: ${name}`,
  edits,
});

const LATER = "clock_timestamp() + interval '1 microsecond'";
const IS_HELD = 'AND seen.expires_at > clock_timestamp() THEN';
const UPSERT_RELEASED = 'OR lock.released_at IS NOT NULL';
const TIMES_FROM_BEFORE_THE_WAIT = [
  at('begins-now', 'locked_at = excluded.locked_at,'),
  at('ends-after-ttl', 'expires_at = excluded.expires_at,'),
];
const NEVER = 'IF false THEN';

/** Each breaks one promise, and the model has to see it. */
export const FOUND_BY_THE_MODEL: readonly Mutation[] = [
  broken(
    'acquire',
    'does not check the expiry',
    at('first-read', 'AND false THEN'),
    at('second-read', ''),
    at('upsert', 'WHERE true'),
  ),
  broken('acquire', 'does not recognize its own lease', at('first-read', 'AND false THEN')),
  broken(
    'acquire',
    'counts the lease as held for a microsecond after its end',
    at('first-read', IS_HELD.replace('>', '>=')),
  ),
  broken(
    'acquire',
    'takes the lease a microsecond before its end',
    at('first-read', `AND seen.expires_at > ${LATER} THEN`),
    at('second-read', `seen.expires_at > ${LATER} OR`),
    at('upsert', `WHERE lock.expires_at <= ${LATER} ${UPSERT_RELEASED}`),
  ),
  broken(
    'acquire',
    'the upsert needs a lease that ended at least a microsecond ago',
    at('upsert', `WHERE lock.expires_at < clock_timestamp() ${UPSERT_RELEASED}`),
  ),
  broken('acquire', 'counts a released lease as held until its end', at('released-is-free', 'IF true')),
  broken(
    'acquire',
    'the upsert ignores a release',
    at('upsert', 'WHERE lock.expires_at <= clock_timestamp()'),
  ),
  broken('acquire', 'ignores the lease that the waiter saw', at('respect', 'false) THEN')),
  broken('acquire', 'accepts a used instance id', at('used-id', 'WHERE false)')),
  broken('acquire', 'acquires its own released lease again', at('own-released', '')),
  broken('acquire', 'does not record a takeover', at('takeover-recorded', NEVER)),
  broken('acquire', 'records a takeover of a released lease', at('takeover', 'IF true THEN')),
  broken(
    'acquire',
    'takes two tokens',
    at('new-token', `fencing_token = nextval('"migrate_lock".migration_lock_fencing_token_seq'),`),
  ),
  broken('acquire', 'counts tokens in the row', at('new-token', 'fencing_token = lock.fencing_token + 1,')),
  broken('acquire', 'keeps the token', at('new-token', 'fencing_token = lock.fencing_token,')),
  broken('acquire', 'keeps the secret of the previous lease', at('new-secret', '')),
  broken('acquire', 'keeps the release of the previous lease', at('not-released', '')),
  broken('acquire', 'keeps the start of the previous lease', at('begins-now', '')),
  broken(
    'acquire',
    'ignores that the work of the run key is done',
    at('settled-before', 'settled := NULL;'),
    at('settled-locked', 'settled := NULL;'),
  ),

  broken('proves', 'accepts any secret', at('secret-proves', '')),
  broken('proves', 'accepts any role', at('role-proves', '')),
  broken(
    'past',
    'accepts an instance that was never the holder',
    at('holder-acquired', "event = 'lock.acquired' OR true"),
  ),
  broken('past', "accepts another secret than the holder's", at('holder-secret', '')),
  broken('past', "accepts another role than the holder's", at('holder-role', '')),
  broken('past', 'reports a loss every time', at('lost-before', 'false,')),

  broken('release', 'accepts any secret', at('release-unproven', 'ELSIF false THEN')),
  broken(
    'release',
    'releases the lease of another instance',
    at('release-other', NEVER),
    at('release-unproven', 'ELSIF false THEN'),
  ),
  broken(
    'release',
    'takes a NULL secret as proof',
    at('release-needs', 'num_nulls(p_instance_id, p_by, p_orphans), p_orphans, p_seen);'),
    at('release-unproven', 'ELSIF NOT "migrate_lock".proves(lease, p_instance_id, secret) THEN'),
    at('proof-is-known', ')'),
  ),
  broken(
    'release',
    'accepts a NULL secret',
    at('release-needs', 'num_nulls(p_instance_id, p_by, p_orphans), p_orphans, p_seen);'),
  ),
  broken(
    'release',
    'reports a second release of the same lease as released',
    at('release-again', 'IF loss IS NOT NULL THEN'),
  ),
  broken('release', 'does not find its earlier release', at('release-found', 'IF loss IS NULL THEN')),
  broken('release', 'never reports a late release', at('late', "'late', false));")),
  broken('release', 'does not store the end of the work', at('work-stored', NEVER)),
  broken('release', 'does not record a loss', at('loss-recorded', 'NULL;')),
  broken(
    'end_lease',
    'moves the end of an expired lease to the release',
    at('end-not-later', 'expires_at = p_moment,'),
  ),
  broken('end_lease', 'does not move the end', at('end-not-later', 'expires_at = expires_at,')),
  broken(
    'end_lease',
    'fails after the clock was set back',
    at('end-after-step-back', 'locked_at = locked_at'),
  ),
  broken('leave', 'keeps the lease', at('leave-unreleased', 'IF false')),
  broken(
    'leave',
    'gives the lease of another instance back',
    at('leave-own', 'AND lease.instance_id = p_instance_id THEN'),
    at('release-unproven', 'ELSIF false THEN'),
  ),

  broken('extend', 'extends a released lease', at('extends-unreleased', '')),
  broken('extend', 'extends an expired lease', at('extends-unexpired', '')),
  broken('extend', 'accepts any secret', at('extends-own', '')),
  broken(
    'extend',
    'makes the lease shorter',
    at('extended-end', "SET expires_at = clock_timestamp() + p_ttl_ms * interval '1 millisecond'"),
  ),
  broken(
    'extend',
    'adds to the end instead of setting it',
    at('extended-end', "SET expires_at = held.expires_at + p_ttl_ms * interval '1 millisecond'"),
  ),

  broken('cleanup', 'clears a lease that still runs', at('clears-expired', '')),
  broken('cleanup', 'clears a released lease', at('clears-unreleased', '')),
  broken('is_held', 'reports an expired lease as held', at('held-unexpired', '')),
  broken('is_held', 'reports a released lease as held', at('held-unreleased', 'SELECT (true')),
  broken('is_held', 'reports the lease of another token as held', at('held-token', '')),
  broken('is_held', 'reports the lease of another instance as held', at('held-by-instance', '')),
  broken('assert_held', 'accepts any role', at('asserts-own', 'AND false THEN')),
  broken(
    'status',
    'reports an expired lease as held',
    at('status-expired', "WHEN lease.expires_at <= clock_timestamp() THEN 'held'"),
  ),

  broken('forget_waiters', 'keeps waiters that are gone', at('forgets-past', '')),
  broken('forget_waiters', 'keeps waiters whose time is far in the future', at('forgets-ahead', '')),
  broken('forget_waiters', 'removes every waiter', at('forgets-past', 'OR true')),
  broken('forget_waiters', 'accepts any secret', at('forgets-own', '')),
  broken('forget_waiters', 'accepts any role', at('forgets-own-role', '')),
  broken('queue', 'renews an announcement without its secret', at('own-waiter', ';')),
  broken('queue', 'counts waiters that are gone', at('waiter-counts', ';')),
  broken('queue', 'does not count the caller', at('caller-counts', '')),

  broken('settled_run', 'counts a failure forever', at('failure-counts', 'true)')),
  broken('settled_run', 'ignores a success', at('success-counts', 'WHERE (')),
  broken('settled_run', 'accepts the work of another key', at('same-key', '')),
  broken('settled_run', 'accepts the work of another command', at('same-command', '')),

  broken(
    'store_end',
    'clears the mark after a failure',
    at('end-cleared', "IF p_recovered IS TRUE OR p_kind = 'clean' THEN"),
  ),
  broken(
    'store_end',
    'clears the mark after an unclean end with exit code 0',
    at('end-cleared', 'IF p_recovered IS TRUE OR p_succeeded IS TRUE THEN'),
  ),
  broken(
    'store_end',
    'does not clear the mark after a recovery',
    at('end-cleared', "IF p_kind = 'clean' AND p_succeeded IS TRUE THEN"),
  ),
  broken('store_end', 'stores a clean end', at('end-stored', 'IF p_kind IS NOT NULL THEN')),
  broken('store_end', 'stores no end', at('end-stored', NEVER)),
  broken('unclean_end', 'reads the mark of any command', at('end-of-command', 'LIMIT 1')),
  broken('acquire', 'stores no end at a takeover', at('takeover-unclean', '')),
  broken('cleanup', 'stores no end', at('cleanup-unclean', '')),
  broken('read_run_key', 'ignores the unclean end of an expired lease', at('read-unreleased', ')')),

  broken('watch', 'does not count waiting runs', at('watched-waits', 'WHERE false')),
  broken('watch', 'does not count the running one', at('watched-runs', NEVER)),
  broken('watch', 'keeps waiting for a run that has ended', at('watched-begun', 'IS NULL);')),
  broken('watch', 'counts an unclean end from before a success', at('watched-ended', 'IS NULL')),
  broken('watch', 'ignores unclean ends', at('watched-ended', 'IS NOT TRUE AND false')),
  broken(
    'watch',
    'reports an unknown key as done',
    at('watched-done', 'done := failure.run_key IS NULL AND unclean IS NULL AND NOT awaited;'),
  ),
  broken('count_watchers', 'keeps its own row', at('forgets-own-watcher', 'WHERE (false)')),
  broken('count_watchers', 'never removes a row', at('watchers-bounded', NEVER)),

  broken('record_refusal', 'records every refusal', at('refusal-recorded', NEVER)),
  broken('record_refusal', 'records no refusal', at('refusal-recorded', 'IF true THEN')),
  broken(
    'record_refusal',
    'records the instance id that the caller gave',
    at('refusal-without-instance', 'VALUES (p_event, p_named_instance_id, p_details);'),
  ),
];

/** What only shows when another transaction is open at the same time. */
export const FOUND_BY_OVERLAPS: readonly Mutation[] = [
  broken('acquire', 'the upsert takes any lease', at('upsert', 'WHERE true')),
  broken(
    'acquire',
    'uses times from before the wait for the row',
    at('first-row', NEVER),
    ...TIMES_FROM_BEFORE_THE_WAIT,
  ),
  broken('acquire', 'uses times from before the wait for the first row', at('first-row', NEVER)),
  broken('acquire', 'waits for the row', at('row-skipped', 'FOR NO KEY UPDATE;')),
];

/** What only shows when another instance acquires between two statements of one call (second-read.test.ts). */
export const FOUND_BETWEEN_LOOKS: readonly Mutation[] = [
  broken('acquire', 'does not read the row again after locking it', at('second-read', '')),
];

/** What only shows when another instance acquires and its lease expires, between the read of a released lease and the lock of its row. */
export const FOUND_BEFORE_THE_ROW: readonly Mutation[] = [
  broken(
    'acquire',
    'takes a lease that another instance took in the meantime',
    at('another-was-quicker', 'AND false THEN'),
  ),
];

/** What no run can tell from the product's own text, each with the reason. */
export const EQUIVALENT: readonly (Mutation & { reason: string })[] = [
  {
    ...broken(
      'acquire',
      'only the upsert takes its times from before the wait',
      ...TIMES_FROM_BEFORE_THE_WAIT,
    ),
    reason:
      'a row that is there is locked before the upsert, so it does not wait; and after a wait for the first row, ' +
      'the times are set once more',
  },
  {
    ...broken('extend', 'extends a lease that is not in the row', at('extends-the-row', 'WHERE true')),
    reason: 'there is never another row',
  },
  {
    ...broken(
      'release',
      'an unknown proof counts as one',
      at('release-unproven', 'ELSIF NOT "migrate_lock".proves(lease, p_instance_id, secret) THEN'),
    ),
    reason: 'proves() is never unknown, and a NULL secret does not get there',
  },
  {
    ...broken('proves', 'may answer NULL', at('proof-is-known', ')')),
    reason: 'who asks takes what is unknown for a no, and a NULL secret does not get there',
  },
];
