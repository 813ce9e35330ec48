import { redactWords } from './argument.js';

/** Shorter ones would match in every other word. */
const MIN_LENGTH = 3;

/**
 * Redacts credentials in a text that quotes user input: an error about an unknown option or an invalid value
 * repeats it, and it may be a URL in the wrong place.
 * @param words a command line, each argument of which may be in the text, also as JSON.
 */
export function redactQuoted(text: string, words: readonly string[]): string {
  const redacted = redactWords(words);
  return words
    .flatMap((word, at): [string, string][] => {
      const shown = redacted[at] ?? '';
      return [[word, shown], ...(valueOf(word, shown) ?? [])];
    })
    .filter(([word, shown]) => word !== shown && word.length >= MIN_LENGTH)
    .sort(([one], [other]) => other.length - one.length)
    .reduce(
      (current, [word, shown]) =>
        current.replaceAll(word, () => shown).replaceAll(JSON.stringify(word).slice(1, -1), () => shown),
      text,
    );
}

/** An error may repeat only the value of `--option=value`. */
function valueOf(word: string, shown: string): [string, string][] | undefined {
  const option = /^-{1,2}[A-Za-z][\w-]*=/.exec(word)?.[0];
  if (option === undefined || !shown.startsWith(option)) return undefined;
  return [[word.slice(option.length), shown.slice(option.length)]];
}
