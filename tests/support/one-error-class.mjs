/**
 * Jest runs each test file in its own realm, while Node's own modules throw the Error of the main one: there,
 * `error instanceof Error` is false for a refused connection or a missing file. In the program it is true, so this
 * makes it true in the tests.
 */
import { types } from 'node:util';

const ordinary = Function.prototype[Symbol.hasInstance];

Object.defineProperty(Error, Symbol.hasInstance, {
  /** @param {unknown} value */
  value(value) {
    return ordinary.call(this, value) || (this === Error && types.isNativeError(value));
  },
});
