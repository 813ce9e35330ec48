import { shellWords } from '../redact/shell-words.js';

/** Builtins before a command that say nothing about what is pending. */
const PRELUDE = ['cd', 'set', 'export'];
const BLANK = /^[ \t]*$/;
const REDIRECTION = /^[ \t]*(?:>>?|<|>\||>&|<&)[ \t]*$/;
const SEPARATOR = /^\s*(?:&&|;|\n)\s*$/;

/** What a shell script does, as far as its words show it. */
export type ShellScript =
  { kind: 'simple'; words: readonly string[] } | { kind: 'background' } | { kind: 'other' };

/**
 * Reads a script that is one simple command: without redirections, a comment, and a `cd DIR &&` before it.
 * 'background' when it ends with `&`; everything else is 'other'.
 */
export function readScript(script: string): ShellScript {
  const text = script.replaceAll('\\\n', '').trim();
  const found = shellWords(text);
  if (found === null) return { kind: 'other' };
  const comment = found.find(({ start }) => text.charAt(start) === '#')?.start;
  if (comment !== undefined) {
    const isLast = !text.slice(comment).includes('\n');
    return isLast ? readScript(text.slice(0, comment)) : { kind: 'other' };
  }
  const gaps = found.map(({ start }, at) => text.slice(found[at - 1]?.end ?? 0, start));
  const next = gaps.findIndex((gap) => SEPARATOR.test(gap));
  if (next > 0 && PRELUDE.includes(found[0]?.value ?? '')) return readScript(text.slice(found[next]?.start));
  const end = text.slice(found.at(-1)?.end ?? 0).trim();
  if (!gaps.every((gap) => BLANK.test(gap) || REDIRECTION.test(gap))) return { kind: 'other' };
  if (end === '&') return { kind: 'background' };
  if (end !== '' && end !== ';') return { kind: 'other' };
  const words = found.filter(({ value }, at) => {
    const isTarget = REDIRECTION.test(gaps[at] ?? '') && !BLANK.test(gaps[at] ?? '');
    const isDescriptor = /^\d+$/.test(value) && /^[<>]/.test(gaps[at + 1] ?? '');
    return !isTarget && !isDescriptor;
  });
  return { kind: 'simple', words: words.map(({ value }) => value) };
}
