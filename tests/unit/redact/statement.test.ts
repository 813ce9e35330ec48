import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { redactStatement } from '../../../src/redact/statement.js';

test.each([
  ['SELECT 1', 'SELECT ?'],
  [
    "UPDATE t SET a = 'x''y', b = 12.5e-3 WHERE c = $1 AND d = 0x1F",
    'UPDATE t SET a = ?, b = ? WHERE c = $1 AND d = ?',
  ],
  ["ALTER ROLE app PASSWORD 'x'", 'ALTER ROLE app PASSWORD ?'],
  ['ALTER ROLE app PASSWORD "x"', 'ALTER ROLE app PASSWORD ?'],
  ['ALTER USER app WITH ENCRYPTED PASSWORD pass-word; SELECT 1', 'ALTER USER app WITH ENCRYPTED PASSWORD ?'],
  ['ALTER ROLE app PASSWORD NULL', 'ALTER ROLE app PASSWORD NULL'],
  ['ALTER TABLE t ADD COLUMN password text', 'ALTER TABLE t ADD COLUMN password text'],
  [
    "SELECT E'a\\'b' || U&'\\0041' || U&'!0041' UESCAPE '!' || B'01' || X'1F' || N'n'",
    'SELECT ? || ? || ? UESCAPE ? || ? || ? || ?',
  ],
  ["SELECT e'a'\n  -- more\n 'b\\'c', d", 'SELECT ?, d'],
  ["DO $body$ BEGIN $$ it's $$; END $body$", 'DO ?'],
  ['SELECT a$b$c, $1, $$x$$', 'SELECT a$b$c, $1, ?'],
  ['SELECT 1 /* a /* b */ c */ + 2 -- the end', 'SELECT ? /*?*/ + ? /*?*/'],
  ['SELECT a<--b\n1', 'SELECT a</*?*/ ?'],
  [
    "COPY t (a, \"b'c\") FROM PROGRAM 'curl -u a:b' WITH (FORMAT csv)",
    'COPY t (a, "b\'c") FROM PROGRAM ? WITH (FORMAT csv)',
  ],
  ["SELECT :'variable', :other, ARRAY[1,2][1:2]", 'SELECT :?, :other, ARRAY[?,?][?:?]'],
  ['INSERT  INTO\tt\n VALUES (1, -2.5, .5)', 'INSERT INTO t VALUES (?, -?, ?)'],
  // Cut by the server.
  ["SELECT 'abc", 'SELECT ?'],
  ["SELECT 'it''", 'SELECT ?'],
  ["SELECT E'a\\", 'SELECT ?'],
  ['SELECT $ta', 'SELECT ?'],
  ['SELECT $', 'SELECT ?'],
  ['SELECT $tag$ secret $ta', 'SELECT ?'],
  ['SELECT /* secret /* x */', 'SELECT /*?*/'],
  ['SELECT "na', 'SELECT ?'],
  ['SELECT "a \'secret\'""', 'SELECT ?'],
  // A connection string is no name.
  ['CREATE SUBSCRIPTION s CONNECTION "password=secret"', 'CREATE SUBSCRIPTION s CONNECTION ?'],
  ['ALTER ROLE app PASSWORD = secret', 'ALTER ROLE app PASSWORD ?'],
  ['ALTER ROLE app PASSWORD "a" secret', 'ALTER ROLE app PASSWORD ?'],
  ['SELECT user, password FROM accounts', 'SELECT user, password ?'],
  ['SELECT user, a.password, b FROM accounts a', 'SELECT user, a.password, b FROM accounts a'],
  // The value of a setting may be a bare word.
  ['SET LOCAL app.token TO secret', 'SET LOCAL app.token TO ?'],
  ['ALTER ROLE app SET "my".token = secret', 'ALTER ROLE app SET "my".token = ?'],
  ['UPDATE t SET a = b.c, d = e.f', 'UPDATE t SET a = b.c, d = e.f'],
  ['SET ROLE app', 'SET ROLE app'],
  // To PostgreSQL, a no-break space is a letter.
  ["SELECT 1,\u00a0$x$, 'it''s $x$ secret'", 'SELECT ?,\u00a0$x$, ?'],
  // Not UTF-8.
  ["SELECT '\ufffd\ufffd', \ufffda", 'SELECT ?, \ufffda'],
])('%j is shown as %j', (statement, shown) => {
  expect(redactStatement(statement)).toBe(shown);
});

test.each([
  ['a literal that another standard_conforming_strings ends elsewhere', "SELECT 'a\\', b, ' secret'"],
  ['the same with a national string', "SELECT N'a\\', b, ' secret'"],
  ['where a number ends differs between versions', "SELECT 1e$$x$$, 'secret'"],
  ['a letter after a number', 'SELECT 12secret'],
  ['a lone dollar', "SELECT a $ 'secret'"],
  ['not SQL', 'SELECT \u0001'],
  ['an apostrophe that is not doubled', "INSERT INTO users VALUES ('O'Brien', 'secret')"],
  ['the same with blanks', "INSERT INTO users VALUES ('rock ' n', 'secret')"],
  ['the same with a name', 'SELECT "my"secret"'],
  ['nothing', ' '],
  ['hidden by PostgreSQL', '<insufficient privilege>'],
  ['not collected', '<command string not enabled>'],
])('hides %s', (_, statement) => {
  expect(redactStatement(statement)).toBeNull();
});

/** In every part of a literal. */
const MARK = 'ZQ7';
const piece = fc.constantFrom(
  ...[
    "'",
    "''",
    '\\',
    "\\'",
    '"',
    '$$',
    '$a$',
    '$',
    '--',
    '/*',
    '*/',
    '\n',
    ' ',
    ';',
    'é',
    '1',
    'E',
    '(',
    ',',
  ],
);
const content = fc
  .array(piece, { maxLength: 6 })
  .map((parts) => [MARK, ...parts.flatMap((part) => [part, MARK])].join(''));
const literal = fc.oneof(
  content.map((text) => `'${text.replaceAll("'", "''")}'`),
  content.map((text) => `E'${text.replace(/[\\']/g, '\\$&')}'`),
  content.map((text) => `e'x'\n'${text.replace(/[\\']/g, '\\$&')}'`),
  content.map((text) => `U&'${text.replaceAll("'", "''")}'`),
  content.map((text) => `$q$${text.replaceAll('$q$', '')}$q$`),
  content.map((text) => `$$${text.replaceAll('$', '')}$$`),
  content.map((text) => `-- ${text.replaceAll('\n', '')}\n`),
  content.map((text) => `/* ${text.replaceAll('/', '').replaceAll('*', '')} /* ${MARK} */ */`),
);
const around = fc.constantFrom(
  ...['SELECT ', ' a', ', ', ' = ', '(', ')', ' "Odd\'s name" ', ' $1 ', '::text ', ' t$b ', ' 12 ', ';'],
);
const statement = fc
  .array(
    fc.oneof({ weight: 2, arbitrary: around }, { weight: 1, arbitrary: literal.map((text) => ` ${text} `) }),
    { maxLength: 8 },
  )
  .map((parts) => parts.join(''));

/** What a server with the other setting reads as one literal. */
const escaping = content.map((text) => `'${text.replace(/[\\']/g, '\\$&')}'`);

test('nothing of a literal or a comment is shown, wherever the statement is cut', () => {
  fc.assert(
    fc.property(statement, fc.nat(), (text, cut) => {
      for (const given of [text, text.slice(0, cut % (text.length + 1))]) {
        expect(redactStatement(given) ?? '').not.toContain(MARK);
        expect(redactStatement(given) ?? '').not.toContain(MARK.slice(0, 2));
      }
    }),
    { numRuns: 5_000 },
  );
});

test('nor of one that is written for standard_conforming_strings = off', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          around,
          escaping.map((text) => ` ${text} `),
        ),
        { maxLength: 8 },
      ),
      fc.nat(),
      (parts, cut) => {
        const text = parts.join('');
        for (const given of [text, text.slice(0, cut % (text.length + 1))])
          expect(redactStatement(given) ?? '').not.toContain(MARK.slice(0, 2));
      },
    ),
    { numRuns: 5_000 },
  );
});

test('of a long statement, what is not shown is not read', () => {
  expect(redactStatement(`SELECT ${'a, '.repeat(200)}12secret`)).toMatch(/^SELECT a, .*… \(cut\)$/);
  // A hundred sessions, as many as are shown; the quickest of several rounds, as the machine may do other work.
  const statement = 'a = b.c, '.repeat(444);
  const quickestMs = (text: string): number => {
    const rounds = Array.from({ length: 10 }, () => {
      const startedAtMs = performance.now();
      for (let session = 0; session < 100; session++) redactStatement(text);
      return performance.now() - startedAtMs;
    });
    return Math.min(...rounds);
  };
  // The whole is more than ten times as long as what is shown.
  expect(quickestMs(statement)).toBeLessThan(4 * quickestMs(statement.slice(0, 320)));
});

test('what it shows is short, and any text is read in linear time', () => {
  const startedAtMs = performance.now();
  for (const part of [
    '-- ',
    "'a'\n",
    "' -- \n",
    '/*',
    '$a',
    '$$',
    '"',
    "E'\\",
    '1.',
    'a.b, ',
    '\n',
    '--\n--',
  ])
    expect((redactStatement(part.repeat(200_000)) ?? '').length).toBeLessThanOrEqual(300);
  expect(performance.now() - startedAtMs).toBeLessThan(1_000);
});
