import { describe, expect, test } from '@jest/globals';
import { LineQueue } from '../../../src/output/line-queue.js';

function contentOf(queue: LineQueue): string {
  let text = '';
  for (let bytes = queue.peek(); bytes !== undefined; bytes = queue.peek()) {
    text += bytes.toString();
    queue.advance(bytes.length);
  }
  return text;
}

describe('LineQueue', () => {
  test('returns lines in order, in the parts that were taken', () => {
    const queue = new LineQueue();
    queue.add('one');
    queue.add('zwölf');
    queue.advance(2);
    expect(queue.peek()?.toString()).toBe('e\n');
    expect(contentOf(queue)).toBe('e\nzwölf\n');
    expect(queue.isEmpty).toBe(true);
  });

  test('keeps at most 10,000 lines: drops the oldest and keeps the last', () => {
    const queue = new LineQueue();
    for (let n = 0; n < 10_010; n++) queue.add(String(n));
    const lines = contentOf(queue).split('\n').slice(0, -1);
    expect(lines).toHaveLength(10_000);
    expect(lines[0]).toBe('10');
    expect(lines.at(-1)).toBe('10009');
  });

  test('keeps at most a megabyte, and always the last line', () => {
    const queue = new LineQueue();
    for (let n = 0; n < 200; n++) queue.add(String(n).padEnd(9_999, '.'));
    expect(contentOf(queue)).toHaveLength(1_000_000);
    queue.add('x'.repeat(2_000_000));
    expect(contentOf(queue)).toHaveLength(2_000_001);
  });

  test('keeps a partly written line when it drops others', () => {
    const queue = new LineQueue();
    queue.add('begun');
    queue.advance(3);
    for (let n = 0; n < 10_010; n++) queue.add(String(n));
    expect(queue.peek()?.toString()).toBe('un\n');
    expect(contentOf(queue).split('\n')).toHaveLength(10_001);
  });

  test('reports whether a dropped line lost its end', () => {
    const queue = new LineQueue();
    queue.add('whole');
    queue.add('cut');
    expect(queue.drop()).toBe(false);
    queue.advance(1);
    expect(queue.drop()).toBe(true);
    expect(queue.drop()).toBe(false);
    queue.add('next');
    expect(contentOf(queue)).toBe('next\n');
  });
});
