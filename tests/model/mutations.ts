import type { Mutation } from './model-schema.js';

export const ACQUIRE_FREE = '6-acquire-free.sql';

const acquire = (name: string, ...edits: Mutation['edits']): Mutation => ({
  name: `acquire: ${name}`,
  file: '6-acquire.sql',
  edits,
});
const acquireFree = (name: string, ...edits: Mutation['edits']): Mutation => ({
  name: `acquire: ${name}`,
  file: ACQUIRE_FREE,
  edits,
});
const release = (name: string, ...edits: Mutation['edits']): Mutation => ({
  name: `release: ${name}`,
  file: '8-release.sql',
  edits,
});
const extend = (name: string, from: string, to: string): Mutation => ({
  name: `extend: ${name}`,
  file: '9-extend.sql',
  edits: [{ from, to }],
});
const other = (file: string, name: string, from: string, to: string): Mutation => ({
  name,
  file,
  edits: [{ from, to }],
});

const EARLY_LOOK = 'IF seen.released_at IS NULL AND seen.expires_at > clock_timestamp() THEN';
const SECOND_LOOK =
  "seen.expires_at > clock_timestamp() OR seen.fencing_token = (p_takeover ->> 'respect')::bigint";
const UPSERT = 'WHERE lock.expires_at <= clock_timestamp() OR lock.released_at IS NOT NULL';
const PROVES =
  "lease.instance_id = p_instance_id AND lease.secret_sha256 = sha256(convert_to(p_secret, 'UTF8'))";
const ROW_TIMES = `locked_at     = clock_timestamp(),
        expires_at    = clock_timestamp() + p_ttl_ms * interval '1 millisecond',`;
const FIRST_ROW = 'IF p_is_first AND p_instance_id IS NOT NULL THEN';

/** Each breaks one promise, and the model has to see it. */
export const FOUND_BY_THE_MODEL: readonly Mutation[] = [
  acquire(
    'the expiry is tested nowhere',
    { from: EARLY_LOOK, to: 'IF false THEN' },
    { from: SECOND_LOOK, to: "seen.fencing_token = (p_takeover ->> 'respect')::bigint" },
    { file: ACQUIRE_FREE, from: UPSERT, to: 'WHERE true' },
  ),
  acquire('does not recognize its own lease', { from: EARLY_LOOK, to: 'IF false THEN' }),
  acquire('a microsecond too late for the waiter', { from: EARLY_LOOK, to: EARLY_LOOK.replace('>', '>=') }),
  acquire(
    'a microsecond too early for the holder',
    {
      from: EARLY_LOOK,
      to: EARLY_LOOK.replace('> clock_timestamp()', "> clock_timestamp() + interval '1 microsecond'"),
    },
    {
      from: SECOND_LOOK,
      to: SECOND_LOOK.replace('> clock_timestamp()', "> clock_timestamp() + interval '1 microsecond'"),
    },
    {
      file: ACQUIRE_FREE,
      from: UPSERT,
      to: UPSERT.replace('<= clock_timestamp()', "<= clock_timestamp() + interval '1 microsecond'"),
    },
  ),
  acquireFree('the upsert demands a lease that is over since a microsecond', {
    from: UPSERT,
    to: UPSERT.replace('<=', '<'),
  }),
  acquire('a released lease counts until its end, also after a step back', {
    from: EARLY_LOOK,
    to: 'IF seen.expires_at > clock_timestamp() THEN',
  }),
  acquireFree('the upsert knows nothing of a release', {
    from: UPSERT,
    to: 'WHERE lock.expires_at <= clock_timestamp()',
  }),
  acquire('a lease that its waiter saw is not respected', {
    from: SECOND_LOOK,
    to: 'seen.expires_at > clock_timestamp()',
  }),
  acquireFree('a used instance id is not refused', {
    from: 'IF "migrate_lock".was_used(p_instance_id)',
    to: 'IF false',
  }),
  acquireFree('its own released lease is acquired again', {
    from: 'OR before_.released_at IS NOT NULL\n',
    to: '\n',
  }),
  acquireFree('a takeover is not told', { from: 'IF p_takeover IS NOT NULL THEN', to: 'IF false THEN' }),
  acquire(
    'a takeover of a released lease is told',
    { from: 'IF seen.id IS NOT NULL AND seen.released_at IS NULL THEN', to: 'IF seen.id IS NOT NULL THEN' },
    { from: '        IF seen.released_at IS NULL THEN', to: '        IF true THEN' },
  ),
  acquireFree('takes two tokens', {
    from: 'fencing_token = excluded.fencing_token',
    to: `fencing_token = nextval('"migrate_lock".migration_lock_fencing_token_seq')`,
  }),
  acquireFree('counts tokens in the row', {
    from: 'fencing_token = excluded.fencing_token',
    to: 'fencing_token = lock.fencing_token + 1',
  }),
  acquireFree('keeps the token', {
    from: 'fencing_token = excluded.fencing_token',
    to: 'fencing_token = lock.fencing_token',
  }),
  acquireFree('keeps the secret of the one before', {
    from: 'secret_sha256 = excluded.secret_sha256',
    to: 'secret_sha256 = lock.secret_sha256',
  }),
  acquireFree('keeps the release of the one before', {
    from: 'released_at   = NULL',
    to: 'released_at   = lock.released_at',
  }),
  acquireFree('keeps the beginning of the one before', {
    from: ROW_TIMES,
    to: ROW_TIMES.replace('clock_timestamp(),', 'lock.locked_at,'),
  }),
  other('4-lease.sql', 'proves: any secret will do', PROVES, 'lease.instance_id = p_instance_id'),
  release('any secret will do', {
    from: 'IF NOT "migrate_lock".proves(lease, p_instance_id, p_secret) THEN',
    to: 'IF false THEN',
  }),
  release(
    "anybody's lease",
    { from: 'IF lease.instance_id IS DISTINCT FROM p_instance_id THEN', to: 'IF false THEN' },
    { from: 'IF NOT "migrate_lock".proves(lease, p_instance_id, p_secret) THEN', to: 'IF false THEN' },
  ),
  release('a second time', { from: 'IF lease.released_at IS NOT NULL THEN', to: 'IF false THEN' }),
  release('does not find its own earlier one', {
    from: 'IF "migrate_lock".was_released(p_instance_id) THEN',
    to: 'IF false THEN',
  }),
  release('a late one makes the lease longer', {
    from: 'expires_at  = least(expires_at, moment)',
    to: 'expires_at  = moment',
  }),
  release('leaves the end where it was', { from: 'least(expires_at, moment)', to: 'expires_at' }),
  release('fails when the clock stepped back', {
    from: "least(locked_at, moment - interval '1 microsecond')",
    to: 'locked_at',
  }),
  release('is never late', { from: 'lease.expires_at <= moment', to: 'false' }),
  release('leaving keeps the lease', {
    from: 'IF lease.released_at IS NULL AND "migrate_lock".proves',
    to: 'IF false AND "migrate_lock".proves',
  }),
  extend('a released lease', 'AND held.released_at IS NULL', ''),
  extend('an expired lease', 'AND held.expires_at > clock_timestamp()', ''),
  extend('any secret will do', 'AND "migrate_lock".proves(held, p_instance_id, p_secret)', ''),
  extend(
    'shortens',
    "greatest(held.expires_at, clock_timestamp() + p_ttl_ms * interval '1 millisecond')",
    "clock_timestamp() + p_ttl_ms * interval '1 millisecond'",
  ),
  extend(
    'adds to the end',
    'greatest(held.expires_at, clock_timestamp() +',
    'greatest(held.expires_at, held.expires_at +',
  ),
  other(
    '9-cleanup.sql',
    'cleanup: clears a lease that still runs',
    'AND expires_at <= clock_timestamp()',
    '',
  ),
  other('9-cleanup.sql', 'cleanup: clears a released lease', 'released_at IS NULL AND', ''),
  other('9-assert.sql', 'assert_held: an expired lease', 'OR lease.expires_at <= clock_timestamp()', ''),
  other('9-assert.sql', 'assert_held: a released lease', 'OR lease.released_at IS NOT NULL', ''),
  other(
    '9-assert.sql',
    'assert_held: another token',
    'OR lease.fencing_token IS DISTINCT FROM p_fencing_token',
    '',
  ),
  other(
    '9-assert.sql',
    "assert_held: somebody else's lease",
    'lease.instance_id IS DISTINCT FROM p_instance_id\n',
    'false\n',
  ),
  other('9-status.sql', 'status: an expired lease reads as held', "THEN 'expired'", "THEN 'held'"),
  other('5-waiters.sql', 'queue: those who are gone stay', 'OR counts_until <= clock_timestamp()', ''),
  other('5-waiters.sql', 'queue: everybody is forgotten', 'OR counts_until <= clock_timestamp()', 'OR true'),
  other(
    '7-poll.sql',
    'queue: those who are gone count',
    'WHERE counts_until > clock_timestamp() OR instance_id = p_instance_id',
    '',
  ),
  other('7-poll.sql', 'queue: the one who asks does not count', 'waiting := waiting + 1;', ''),
  acquire('work that is done is done again', {
    from: `    settled := CASE WHEN work IS NOT NULL THEN "migrate_lock".settled_run(work, memory) END;
    IF settled IS NOT NULL THEN
        RETURN`,
    to: `    IF false THEN
        RETURN`,
  }),
  other('4-runs.sql', 'run key: a failure counts for ever', 'AND (succeeded OR', 'AND (true OR'),
  other('4-runs.sql', 'run key: a success is forgotten', 'AND (succeeded OR', 'AND (false OR'),
  other('4-runs.sql', 'run key: any key will do', 'run_key = p_run_key', 'true'),
  other(
    '4-refusals.sql',
    'history: every refusal is told',
    'IF moment < told_at',
    'IF false AND moment < told_at',
  ),
  other(
    '4-refusals.sql',
    'history: no refusal is told',
    'IF moment < told_at',
    'IF true OR moment < told_at',
  ),
  release('a loss is told every time', {
    from: "WHERE instance_id = p_instance_id AND event = 'lock.lost') THEN",
    to: 'WHERE false) THEN',
  }),
  release('the end of the work is not stored', {
    from: 'IF lease.run_key IS NOT NULL AND',
    to: 'IF false AND',
  }),
];

/** What only shows when another transaction is open at the same time. */
export const FOUND_BY_OVERLAPS: readonly Mutation[] = [
  acquireFree('the upsert takes whatever is there', { from: UPSERT, to: 'WHERE true' }),
  acquireFree(
    'times from before the wait',
    { from: ROW_TIMES, to: 'locked_at = excluded.locked_at,\n        expires_at = excluded.expires_at,' },
    { from: FIRST_ROW, to: 'IF false THEN' },
  ),
  acquireFree('the times of the first row from before the wait', { from: FIRST_ROW, to: 'IF false THEN' }),
  acquire('queues on the row', {
    from: '    SELECT * INTO seen FROM "migrate_lock".migration_lock WHERE id = 1 FOR NO KEY UPDATE SKIP LOCKED;',
    to: '    SELECT * INTO seen FROM "migrate_lock".migration_lock WHERE id = 1 FOR NO KEY UPDATE;',
  }),
];

/** What only shows when another one acquires between two statements of one call (second-look.test.ts). */
export const FOUND_BETWEEN_LOOKS: readonly Mutation[] = [
  acquire('the row is not looked at again once it is locked', {
    from: SECOND_LOOK,
    to: "seen.fencing_token = (p_takeover ->> 'respect')::bigint",
  }),
];

/** What only shows when somebody else's lease comes and runs out between a look at a released one and its row. */
export const FOUND_BEFORE_THE_ROW: readonly Mutation[] = [
  acquireFree('whatever lease has run out is taken', {
    from: 'IF before_.released_at IS NULL AND before_.fencing_token IS DISTINCT FROM p_expired_token THEN',
    to: 'IF false THEN',
  }),
];

/** What no run can tell from the product's own text, each with the reason. */
export const EQUIVALENT: readonly (Mutation & { reason: string })[] = [
  {
    ...acquireFree('only the upsert takes its times from before the wait', {
      from: ROW_TIMES,
      to: 'locked_at = excluded.locked_at,\n        expires_at = excluded.expires_at,',
    }),
    reason:
      'a row that is there is locked before the upsert, so it does not wait; and after a wait for the first row, ' +
      'the times are set once more',
  },
  {
    ...extend('a lease that is not the row', 'WHERE held.id = 1', 'WHERE true'),
    reason: 'there is never another row',
  },
];
