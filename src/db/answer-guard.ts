import { letterOf, LONGEST_MESSAGE, violation } from './message-reader.js';

/** Messages that may come at any time and are not part of an answer. */
const ASIDE = 'NAS';
/** Messages in answers to our statements. */
const PARTS_OF_ANSWERS = 'DTCIE12tn';
/** Messages in answers to COPY TO, with which a superuser reads tables of another role. */
const PARTS_OF_COPIES = 'Hdc';
const READY = 'Z';

/** The driver keeps an answer in memory until it is complete: those of the lock are a row or two. */
const LONGEST_ANSWER = 2 * LONGEST_MESSAGE;
const MOST_MESSAGES = 10_000;
/** Errors are shown in events and on stderr. */
const LONGEST_ERROR = 64 * 1024;

/** Checks each message before the driver reads it: a server must not exhaust our memory, or make the driver loop. */
export class AnswerGuard {
  #bytes = 0;
  #messages = 0;
  #copies = false;

  /** A COPY was sent: its answer is the next one. */
  expectCopy(): void {
    this.#copies = true;
  }

  /** @throws PROTOCOL_VIOLATION */
  check(message: Buffer): void {
    const letter = letterOf(message);
    if (letter === READY) {
      this.#bytes = 0;
      this.#messages = 0;
      this.#copies = false;
      return;
    }
    if (letter === 'T') checkColumns(message);
    if (letter === 'A' && message.indexOf(0, 9) === -1) throw violation('a notification without a name');
    if (ASIDE.includes(letter)) return;
    if (!PARTS_OF_ANSWERS.includes(letter) && !(this.#copies && PARTS_OF_COPIES.includes(letter)))
      throw violation(`message ${JSON.stringify(letter)} in a session`);
    if (letter === 'E' && message.length > LONGEST_ERROR) {
      throw violation(`an error of ${message.length} bytes (allowed: ${LONGEST_ERROR})`);
    }
    this.#bytes += message.length;
    this.#messages++;
    if (this.#bytes > LONGEST_ANSWER || this.#messages > MOST_MESSAGES) {
      throw violation(`an answer of more than ${LONGEST_ANSWER} bytes or ${MOST_MESSAGES} messages`);
    }
  }
}

/** The driver would search for a missing NUL after a name forever. */
function checkColumns(message: Buffer): void {
  const count = message.length < 7 ? 0 : message.readUInt16BE(5);
  let at = 7;
  for (let column = 0; column < count; column++) {
    const end = message.indexOf(0, at);
    at = end + 19;
    if (end === -1 || at > message.length) throw violation('a description of rows that is cut off');
  }
}
