import { SCHEMA_VERSION } from '../../../src/schema/schema-version.js';
import type { Caller } from './calls.js';

export type Value = string | null;

/** The instance that a call names, and what the caller knows of it. */
export interface Target extends Caller {
  token: number;
}

export interface Parameter {
  type: keyof typeof ODD;
  /** What the program would send. */
  usual: (target: Target) => Value;
  /** NULL is refused before anything else. */
  isNeeded: boolean;
}

const HUGE = 'x'.repeat(100_000);

/** Values that no program sends, by type. The first is NULL. */
export const ODD = {
  text: [null, '', HUGE, '-1', '*', 'terminate', 'wait', 'list', 'ignore', 'guard', 'unlock', 'null'],
  integer: [null, '0', '-1', '1', '2147483647', '-2147483648'],
  bigint: [null, '0', '-1', '1', '9223372036854775807', '-9223372036854775808'],
  boolean: [null, 'true', 'false'],
  jsonb: [
    ...[null, '[]', '{}', '""', '0', 'null', 'true', '[{}]', '[{"pid": 1, "since": null}]', `"${HUGE}"`],
    ...['{"exitCode": {}}', '{"reason": 1, "leftovers": -1}', '{"by": "unlock"}', `{"host": "${HUGE}"}`],
  ],
} as const;

const needed = (type: Parameter['type'], value: string): Parameter => {
  return { type, usual: () => value, isNeeded: true };
};
const optional = (type: Parameter['type'], value: Value = null): Parameter => {
  return { type, usual: () => value, isNeeded: false };
};
const instanceId: Parameter = { type: 'text', usual: (target) => target.instanceId, isNeeded: true };
const secret: Parameter = { type: 'text', usual: (target) => target.secret, isNeeded: true };
const token: Parameter = { type: 'bigint', usual: (target) => String(target.token), isNeeded: false };
const ttlMs = needed('bigint', '1000');
const orphans = needed('text', 'terminate');

/** Every function that an admitted role may call. */
export const CALLABLE = {
  version: {},
  poll: {
    p_program: needed('integer', String(SCHEMA_VERSION)),
    p_instance_id: instanceId,
    p_secret: secret,
    p_ttl_ms: ttlMs,
    p_host: optional('text', 'host'),
    p_pid: optional('integer', '1'),
    p_command: optional('text', 'a migration'),
    p_command_sha256: optional('text', 'sha'),
    p_run_key: optional('text', 'key'),
    p_failure_memory_ms: optional('bigint'),
    p_respect: optional('bigint'),
    p_orphans: orphans,
    p_seen: optional('jsonb'),
    p_poll_interval_ms: needed('bigint', '1000'),
    p_last: optional('boolean', 'false'),
    p_listens: optional('boolean', 'false'),
  },
  read_run_key: {
    p_run_key: optional('text', 'key'),
    p_command_sha256: optional('text', 'sha'),
    p_failure_memory_ms: optional('bigint'),
  },
  watch: {
    p_run_key: needed('text', 'key'),
    p_watcher: needed('text', 'a watcher'),
    p_last: optional('boolean', 'false'),
  },
  release: {
    p_instance_id: instanceId,
    p_secret: secret,
    p_by: needed('text', 'holder'),
    p_orphans: orphans,
    p_seen: optional('jsonb'),
    p_exit_code: optional('integer', '0'),
    p_signal: optional('text'),
    p_reason: optional('text'),
    p_leftovers: optional('integer'),
    p_end: optional('text', 'clean'),
    p_recovered: optional('boolean', 'true'),
    p_succeeded: optional('boolean', 'true'),
    p_work_exit_code: optional('integer', '0'),
    p_duration_ms: optional('bigint', '1'),
  },
  leave: { p_instance_id: instanceId, p_secret: secret },
  extend: { p_instance_id: instanceId, p_secret: secret, p_ttl_ms: ttlMs },
  assert_held: { p_instance_id: { ...instanceId, isNeeded: false }, p_fencing_token: token },
  cleanup: { p_orphans: orphans, p_seen: optional('jsonb') },
  status: {},
  activity: {},
  blocking: {},
  unblock: {
    p_instance_id: instanceId,
    p_secret: secret,
    p_pid: needed('integer', '1'),
    p_waiter: needed('integer', '2'),
    p_waited_ms: needed('bigint', '1000'),
    p_how: needed('text', 'cancel'),
  },
  settle: { p_instance_id: instanceId, p_secret: secret, p_orphans: orphans, p_seen: optional('jsonb') },
  history: { p_limit: optional('integer', '100'), p_since_ms: optional('bigint') },
  chain: { p_after: optional('bigint', '0'), p_limit: optional('integer', '100') },
} satisfies Record<string, Record<string, Parameter>>;

export type CallableName = keyof typeof CALLABLE;
