import { UNPRINTABLE } from '../text/unprintable.js';

const SHORT: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/**
 * Makes visible what a terminal would obey. Much of what people read here comes from others (a holder's command, a server's
 * message): it must neither move the cursor nor pretend to be a line of ours.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => {
    const code = character.charCodeAt(0).toString(16);
    return (
      SHORT[character] ?? (code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u${code.padStart(4, '0')}`)
    );
  });
}
