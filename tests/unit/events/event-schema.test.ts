import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { EVENT_NAMES, EVENT_VERSION, OUTCOMES } from '../../../src/events/events.js';
import { parseAuditLine } from '../../support/audit-line.js';
import { auditHash, common, SAMPLES } from './event-samples.js';

interface Schema {
  properties: { v: { const: number } };
  oneOf: { $ref: string }[];
  $defs: Record<string, { enum?: string[]; properties?: { event?: { const: string } } }>;
}
const schema = JSON.parse(
  readFileSync(new URL('../../../src/events/event.schema.json', import.meta.url), 'utf8'),
) as Schema;

const OPTIONAL = new Set(['hint', 'runKeyOfOtherCommand', 'sessions']);
const isValid = (event: object): boolean => {
  try {
    return Boolean(parseAuditLine(JSON.stringify(event)));
  } catch (error) {
    // Any other error means that the schema itself is wrong.
    if (!(error as Error).message.startsWith('an audit line breaks the schema')) throw error;
    return false;
  }
};

test('the schema and the type have the same events, outcomes and version', () => {
  const named = schema.oneOf.map(({ $ref }) => $ref.replace('#/$defs/', ''));
  expect([...named].sort()).toEqual([...EVENT_NAMES].sort());
  expect(named.map((name) => schema.$defs[name]?.properties?.event?.const)).toEqual(named);
  expect(schema.$defs.outcome?.enum).toEqual(OUTCOMES);
  expect(schema.properties.v.const).toBe(EVENT_VERSION);
});

describe.each(EVENT_NAMES)('%s', (name) => {
  const samples = SAMPLES[name].map((own) => ({ ...common, event: name, ...own }));

  test('is accepted with the fields of its type, and refused with more or fewer', () => {
    for (const sample of samples) {
      expect(parseAuditLine(JSON.stringify(sample))).toEqual(sample);
      expect(isValid({ ...sample, more: 1 })).toBe(false);
      for (const field of Object.keys(sample).filter((key) => !OPTIONAL.has(key) && key !== 'fencingToken')) {
        expect([field, isValid({ ...sample, [field]: undefined })]).toEqual([field, false]);
        expect([field, isValid({ ...sample, [field]: [] })]).toEqual([field, false]);
      }
    }
  });

  test('is refused with the fields of another', () => {
    for (const other of EVENT_NAMES.filter((another) => another !== name)) {
      const foreign = SAMPLES[other].filter((fields) =>
        Object.keys(fields).some((key) => !(key in (samples[0] ?? {}))),
      );
      for (const fields of foreign) expect(isValid({ ...samples[0], ...fields, event: name })).toBe(false);
    }
  });
});

test.each([
  ['a time that is not UTC', { time: '2026-01-02T03:04:05.678+01:00' }],
  ['a time without milliseconds', { time: '2026-01-02T03:04:05Z' }],
  ['a time that is not a date', { time: '2026-13-02T03:04:05.678Z' }],
  ['another version', { v: 2 }],
  ['an unknown event', { event: 'lock.thawed' }],
  ['a fraction of a millisecond', { heldMs: 1.5 }],
  ['a negative duration', { heldMs: -1 }],
  ['a token that is text', { fencingToken: '7' }],
  ['a hash that is not hexadecimal', { auditHash: 'abc' }],
])('%s is refused', (_, change) => {
  const released = { ...common, event: 'lock.released', heldMs: 1, auditHash };
  expect(isValid(released)).toBe(true);
  expect(isValid({ ...released, ...change })).toBe(false);
});

test('the token is required once the lock was acquired', () => {
  const exited = { ...common, event: 'child.exited', exitCode: 0, signal: null, durationMs: 1 };
  expect(isValid({ ...exited, fencingToken: undefined })).toBe(false);
  expect(isValid({ ...exited, signal: 'SIGTERM' })).toBe(false);
  expect(isValid({ ...exited, exitCode: null })).toBe(false);
  expect(isValid({ ...common, fencingToken: undefined, event: 'error', code: 'X', message: 'm' })).toBe(true);
});
