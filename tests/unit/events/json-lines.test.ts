import { expect, test } from '@jest/globals';
import { createEventLog } from '../../../src/events/json-lines.js';
import type { Output } from '../../../src/output/output.js';
import { createEventStream } from '../../../src/events/event-stream.js';
import type { EventContext, MigrateLockEvent } from '../../../src/events/events.js';
import { parseAuditLine } from '../../support/audit-line.js';

function auditing(overrides: Partial<EventContext> = {}) {
  const lines: string[] = [];
  const output: Output = {
    writeLine: (text) => lines.push(text),
    flush: () => Promise.resolve(true),
    close: () => undefined,
  };
  const context: EventContext = {
    schema: 's',
    database: null,
    pid: 7,
    host: 'h',
    instanceId: 'a',
    ...overrides,
  };
  const stream = createEventStream(context, [createEventLog(output)], { now: () => new Date(0) });
  return { lines, stream };
}

test('writes one line for each event, with its known fields in a fixed order', () => {
  const { lines, stream } = auditing();
  stream.emit({ event: 'error', message: 'no', code: 'X' });
  stream.context.fencingToken = 42;
  stream.context.database = 'd';
  stream.emit({ event: 'lock.released', heldMs: 1, auditHash: null });
  expect(lines).toEqual([
    '{"v":1,"time":"1970-01-01T00:00:00.000Z","event":"error","instanceId":"a","host":"h","pid":7,"database":null,"schema":"s","message":"no","code":"X"}',
    '{"v":1,"time":"1970-01-01T00:00:00.000Z","event":"lock.released","instanceId":"a","fencingToken":42,"host":"h","pid":7,"database":"d","schema":"s","heldMs":1,"auditHash":null}',
  ]);
  for (const line of lines) parseAuditLine(line);
});

test('writes one line of plain JSON for any text', () => {
  const message = 'a\n\u001b[2J\u0085\u009b\u2028\u2029\u007f"é😀\ud800';
  const { lines, stream } = auditing();
  stream.emit({ event: 'error', code: 'X', message });
  // eslint-disable-next-line no-control-regex -- they are what must not be there
  expect(lines[0]).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800](?![\udc00-\udfff])/);
  expect(parseAuditLine(lines[0] ?? '')).toMatchObject({ message });
});

test('a listener that throws affects neither the other listeners nor the caller', () => {
  const heard: MigrateLockEvent[] = [];
  const throws = () => {
    throw new Error('no');
  };
  const context = { instanceId: 'a', host: 'h', pid: 1, database: 'd', schema: 's' };
  const stream = createEventStream(context, [throws, (event) => heard.push(event), throws]);
  stream.emit({ event: 'lock.released', heldMs: 1, auditHash: null });
  stream.emit({ event: 'lock.released', heldMs: 2, auditHash: null });
  expect(heard.map(({ v, event, time }) => [v, event, new Date(time).toISOString() === time])).toEqual([
    [1, 'lock.released', true],
    [1, 'lock.released', true],
  ]);
});
