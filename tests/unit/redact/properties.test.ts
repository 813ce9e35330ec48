import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { redactCommand } from '../../../src/redact/command.js';
import { redactSecrets } from '../../../src/redact/secrets.js';

/** In every part of a password, so that the test notices any part that is shown. */
const MARK = 'ZQ7';
const special = fc.oneof(
  fc.constantFrom(
    '@',
    ':',
    '/',
    '?',
    '#',
    '%',
    '&',
    '=',
    ' ',
    "'",
    '"',
    '\\',
    ';',
    '$',
    '`',
    '(',
    ')',
    '\n',
    ',',
    '+',
    '-',
  ),
  fc.constantFrom(
    '://',
    '=a',
    ' --b=',
    '%40',
    '***',
    '{"',
    '&x',
    '$(',
    '@h/d',
    ' host=h',
    ';Host=h',
    'é',
    '😀',
    '--',
  ),
  fc.string({ maxLength: 3 }).map((text) => text.replaceAll('\0', '')),
);
const password = fc
  .array(special, { maxLength: 5 })
  .map((parts) => MARK + parts.map((part) => part + MARK).join(''));

const single = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
const double = (text: string) => `"${text.replace(/[\\"$`]/g, '\\$&')}"`;
const libpq = (text: string) => `'${text.replace(/[\\']/g, '\\$&')}'`;
const bare = (text: string) => text.replace(/[\s\\']/g, '\\$&');
const ado = (text: string) => `"${text.replaceAll('"', '""')}"`;
const name = fc.constantFrom(
  'password',
  'PGPASSWORD',
  'db-password',
  'DB_PASS',
  'apiKey',
  'spring.datasource.password',
  'token',
);

const words: [string, fc.Arbitrary<string[]>][] = [
  ['a URL, encoded', password.map((p) => [`postgres://u:${encodeURIComponent(p)}@h:5432/d?sslmode=require`])],
  ['a URL, not encoded', password.map((p) => [`postgres://u:${p}@h/d`])],
  ['a URL without a user', password.map((p) => [`postgresql://:${p}@h/d`])],
  ['an option with a URL', password.map((p) => [`--database-url=postgres://u:${p}@h/d`])],
  [
    "a URL's parameter",
    fc
      .tuple(name, password)
      .map(([n, p]) => [`jdbc:postgresql://h/d?user=u&${n}=${encodeURIComponent(p)}&a=b`]),
  ],
  ['an option', fc.tuple(name, password).map(([n, p]) => [`--${n}=${p}`])],
  ['an option and its argument', fc.tuple(name, password).map(([n, p]) => [`--${n}`, p])],
  ['a variable', fc.tuple(name, password).map(([n, p]) => [`${n}=${p}`])],
  ['a property', fc.tuple(name, password).map(([n, p]) => [`-D${n}=${p}`])],
  ["libpq's string", password.map((p) => [`host=h password=${libpq(p)} dbname=d`])],
  ["libpq's string without quotes", password.map((p) => [`host=h password = ${bare(p)} dbname=d`])],
  ["ADO.NET's string", password.map((p) => [`Host=h;Password=${ado(p)};Database=d`])],
  ['JSON', password.map((p) => [JSON.stringify({ host: 'h', db: [{ password: p }] })])],
];

const inScripts: [string, fc.Arbitrary<string[]>][] = [single, double].flatMap((quote) =>
  words.map(([title, argv]): [string, fc.Arbitrary<string[]>] => [
    `${title}, ${quote === single ? 'in single quotes' : 'in double quotes'} in a script`,
    fc.tuple(argv, fc.integer({ min: 1, max: 3 })).map(([inner, depth]) => {
      let script = `x ${inner.map(quote).join(' ')} && y`;
      for (let level = 1; level < depth; level++) script = `sh -c ${quote(script)}`;
      return ['sh', '-c', script];
    }),
  ]),
);

test.each([...words, ...inScripts])('hides every part of a password: %s', (_, argv) => {
  const commands = fc
    .tuple(argv, fc.boolean())
    .map(([secret, first]) => (first ? ['env', ...secret, 'x'] : secret));
  fc.assert(
    fc.property(commands, (command) => !redactCommand(command).includes(MARK)),
    { numRuns: 1_000 },
  );
});

test('redacts known secrets in every form', () => {
  const forms: ((text: string) => string)[] = [
    (text) => text,
    encodeURIComponent,
    (text) => encodeURIComponent(text).replace(/%../g, (code) => code.toLowerCase()),
    (text) => new URLSearchParams({ p: text }).toString(),
    (text) => JSON.stringify({ message: text }),
    single,
    (text) => Object.assign(new URL('postgres://u@h/d'), { password: text }).href,
  ];
  fc.assert(
    fc.property(password, fc.constantFrom(...forms), fc.string(), (secret, form, around) => {
      const text = `${around}${form(secret)}${around}`;
      return !redactSecrets(text, ['x', '', secret]).includes(MARK);
    }),
    { numRuns: 2_000 },
  );
});

test('redacts a configured secret also in its encoded forms', () => {
  expect(redactSecrets('FATAL: p@ss of p%40ss', ['p%40ss'])).toBe('FATAL: *** of ***');
});

test('does not redact a secret that is too short to be recognized', () => {
  expect(redactSecrets('host is at a', ['', 'a', 'is'])).toBe('host is at a');
  expect(redactSecrets('nothing', [])).toBe('nothing');
  expect(redactSecrets('a ab abc abcd', ['abc', 'abcd'])).toBe('a ab *** ***');
});
