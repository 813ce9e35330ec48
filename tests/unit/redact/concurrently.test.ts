import { describe, expect, test } from '@jest/globals';
import { isConcurrently } from '../../../src/redact/concurrently.js';

describe('a statement with CONCURRENTLY', () => {
  test.each([
    'CREATE INDEX CONCURRENTLY ON orders (id)',
    'create unique index concurrently if not exists "a b" on orders (id)',
    'DROP INDEX CONCURRENTLY IF EXISTS a',
    'REINDEX (VERBOSE, CONCURRENTLY) TABLE a',
    'REINDEX DATABASE CONCURRENTLY a',
    'REFRESH MATERIALIZED VIEW CONCURRENTLY a',
    'ALTER TABLE IF EXISTS ONLY a.b.c DETACH PARTITION d.e.f CONCURRENTLY',
    '-- a comment\n/* and /* another */ one */ ;; CREATE INDEX\n\tCONCURRENTLY ON a (b)',
    // A backslash that escapes hides the word in one reading, and shows it in the other.
    "SELECT '\\' CONCURRENTLY '",
  ])('%s', (statement) => {
    expect(isConcurrently(statement, false)).toBe(true);
    expect(isConcurrently(statement, true)).toBe(true);
  });

  test.each([
    'ALTER TABLE orders ADD COLUMN a int',
    'CREATE INDEX a ON orders (id) -- CONCURRENTLY',
    'CREATE INDEX "concurrently" ON orders (id)',
    "COMMENT ON TABLE orders IS 'CONCURRENTLY'",
    'DO $x$ BEGIN PERFORM concurrently(); END $x$',
    'ALTER TABLE not_concurrently ADD COLUMN concurrently_ int',
  ])('%s has none', (statement) => {
    expect(isConcurrently(statement, false)).toBe(false);
  });

  test.each(['', ' ', '<insufficient privilege>', '<backend information not available>'])(
    '%p: nothing is known',
    (statement) => {
      expect(isConcurrently(statement, false)).toBeUndefined();
    },
  );

  test('a statement that was cut: certain only after as many words as a form can have before it', () => {
    expect(isConcurrently(`/* ${'x'.repeat(2_000)}`, true)).toBeUndefined();
    expect(isConcurrently('CREATE INDEX', true)).toBeUndefined();
    expect(isConcurrently('D', true)).toBeUndefined();
    expect(isConcurrently('/* a */ RE', true)).toBeUndefined();
    expect(isConcurrently(`INSERT INTO a VALUES (${'b, '.repeat(20)}`, true)).toBe(false);
    expect(isConcurrently(`DO $$ BEGIN ${'x'.repeat(2_000)}`, true)).toBe(false);
    expect(isConcurrently(`UPDATE a SET b = '${'x'.repeat(2_000)}`, true)).toBe(false);
    expect(
      isConcurrently(
        'ALTER TABLE a ADD COLUMN b int, ADD COLUMN c int, ADD COLUMN d int, ADD COLUMN e',
        true,
      ),
    ).toBe(false);
  });
});
