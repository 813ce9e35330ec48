import fc from 'fast-check';

/**
 * Characters that must not reach a terminal: the tests have their own list, so that it does not share a gap with the
 * product's.
 */
export const RAW_CONTROL =
  // eslint-disable-next-line no-control-regex -- they are what this is about
  /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u061c\u2028\u2029\u202a-\u202e\u2066-\u2069]/;
/** The same for an output of several lines, without colours. */
export const RAW_CONTROL_IN_LINES = new RegExp(
  RAW_CONTROL.source.replace('\\u001f', '\\u0009\\u000b-\\u001f'),
);

/** Texts that do harm in SQL, in JSON, in a shell, in a terminal, or to a reader. */
export const HOSTILE = [
  `x'); DROP SCHEMA migrate_lock CASCADE; -- `,
  `"; DROP SCHEMA "migrate_lock`,
  `$$ $body$ $1 \${1} $& $' %s %I`,
  `\\'; E'\\\\' U&'\\0041' \\u0000 \\x1b`,
  `","event":"lock.released","x":"`,
  '\n{"event":"lock.released"}\r\n',
  '$(touch /nope) `touch /nope` ; | & > <',
  '\u001b[2J\u001b]0;owned\u0007\u001b]8;;http://x\u001b\\',
  '\u009b2J \u009d0;owned\u009c \u0090 \u007f \u0085',
  '\u202ecod.exe \u2066\u2069 \u2028 \u2029 \u200f \u061c',
  'e\u0301\u0327\u{1F468}\u200d\u{1F469}\u200d\u{1F467} \u{E0041} \ufeff ｗｉｄｅ',
  '\t\b\b\b\b\v\f',
  '../../../../dev/tcp/x',
  '--force',
  '-',
  '',
  ' ',
] as const;
/** Text that JavaScript can hold and PostgreSQL cannot. */
const NOT_FOR_POSTGRES = ['\0', 'a\0b', '\ud800', '\udc00x', 'a\ud83d'];

const pieces = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom<string>(...HOSTILE) },
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom('%', '%zz', '%00', '\u001b', '\u009b', '\u202e', '"', "'", '\\', '$$', '\n'),
);

/** Any text that can be stored: complete characters, no NUL. */
export const hostileText: fc.Arbitrary<string> = fc
  .array(pieces, { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join('').replaceAll('\0', ''));

/** Any text at all. */
export const anyText: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: hostileText },
  fc.tuple(hostileText, fc.constantFrom(...NOT_FOR_POSTGRES)).map(([one, other]) => one + other),
  { weight: 1, arbitrary: hostileText.map((text) => `${text}${'x'.repeat(2_000)}`) },
);
