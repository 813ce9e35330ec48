import { redactPairs } from './pairs.js';
import { isSecretName, isSecretOption } from './secret-names.js';
import { REDACTED } from './secrets.js';
import { quoteWord, shellWords } from './shell-words.js';
import { redactUrls } from './url.js';

/** The limit of nested scripts: deeper ones are hidden. */
const MAX_DEPTH = 5;
/** `Authorization: Bearer x`, `password: x` */
const HEADER = /^\s*([A-Za-z][\w-]*):\s+\S/;
/** A secret's name, a sign, and a quote: code in an unknown language. */
const UNKNOWN_CODE =
  /(?:passw(?:or)?d|pwd|passphrase|secret|token|credentials?|api_?key)\w{0,30}["'`]?\s{0,9}(?:=>|:=|[=:,]|\s)\s{0,9}["'`](?!\*\*\*)/i;

/** Redacts a list of arguments: the text of each, and the one after an option such as `--password`. */
export function redactWords(words: readonly string[], depth = 0): string[] {
  let isSecretNext = false;
  return words.map((word, index) => {
    const previous = words[index - 1] ?? '';
    const isSecret = isSecretNext;
    // Also for a redacted argument: `--password --token x` may mean either.
    isSecretNext = isSecretOption(word);
    if (isSecret) return REDACTED;
    if (/^(-u|--user|--username|--userpwd|--proxy-user)$/.test(previous))
      return word.replace(/:.*/s, `:${REDACTED}`);
    if (/^(.*\/)?(mysql|mariadb)/.test(words[0] ?? '')) word = word.replace(/^-p.+/s, `-p${REDACTED}`);
    // The argument after `-c` is a script: `PGPASSWORD=x psql ...` is not one long password there.
    return /^-[a-z]*c$/.test(previous) ? redactScript(word, depth + 1) : redactArgument(word, depth);
  });
}

function redactArgument(argument: string, depth: number): string {
  if (depth > MAX_DEPTH) return REDACTED;
  const assigned = /^-{0,2}([A-Za-z_][\w.-]*)=/.exec(argument);
  if (assigned !== null && isSecretName(assigned[1] ?? '')) return assigned[0] + REDACTED;
  const header = HEADER.exec(argument);
  if (header !== null && isSecretName(header[1] ?? '')) return `${header[1] ?? ''}: ${REDACTED}`;
  const asData = redactJson(argument, depth) ?? redactPairs(argument);
  if (asData !== null) return asData;
  const flat = redactFlat(argument);
  return /[\s'"`]/.test(flat) ? redactScript(flat, depth + 1) : flat;
}

/** URLs, and everything after a secret's name, up to the text's end. */
function redactFlat(text: string): string {
  const redacted = redactUrls(text);
  for (const { 1: name = '', index } of redacted.matchAll(/(?<![\w.-])([\w.-]+)=(?!\*\*\*)/g)) {
    if (isSecretName(name)) return `${redacted.slice(0, index)}${name}=${REDACTED}`;
  }
  return redacted;
}

/** A text of several words, as a shell reads it. */
function redactScript(script: string, depth: number): string {
  if (depth > MAX_DEPTH) return REDACTED;
  const words = shellWords(script);
  // Not a script: text that cannot be parsed is shown only when nothing in it looks like a secret.
  if (words === null) return isSecretName(script) || script.includes('://') ? REDACTED : script;
  if (words.length === 1 && words[0]?.value === script) return redactFlat(script);
  const values = words.map(({ value }) => value);
  const redacted = redactWords(values, depth);
  let shown = '';
  let end = 0;
  words.forEach((word, index) => {
    const value = followsSqlPassword(script, word.start, values[index - 1])
      ? REDACTED
      : (redacted[index] ?? '');
    shown += script.slice(end, word.start);
    shown += value === word.value ? script.slice(word.start, word.end) : quoteWord(value);
    end = word.end;
  });
  shown += script.slice(end);
  return UNKNOWN_CODE.test(shown) ? REDACTED : shown;
}

/** `ALTER ROLE app PASSWORD 'x'` */
function followsSqlPassword(script: string, start: number, previous = ''): boolean {
  return /^password$/i.test(previous) && /["']/.test(script.charAt(start));
}

function redactJson(text: string, depth: number): string | null {
  if (!/^\s*[[{]/.test(text)) return null;
  try {
    return JSON.stringify(JSON.parse(text), (key, value: unknown) => {
      if (typeof value !== 'string') return isSecretName(key) && value !== null ? REDACTED : value;
      return isSecretName(key) ? REDACTED : redactArgument(value, depth + 1);
    });
  } catch {
    return null;
  }
}
