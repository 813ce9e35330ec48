/** SASLprep with its tables: loaded only for a password that needs it. */
export { saslprep } from '@mongodb-js/saslprep';
