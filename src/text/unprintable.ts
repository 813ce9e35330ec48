/**
 * What a terminal obeys, or what makes a text look like another one: control characters (C0, DEL, C1), what separates lines and
 * paragraphs, and what turns the direction of writing. Global: for replace() alone, which begins at the start each time.
 */
// eslint-disable-next-line no-control-regex -- they are what this is about
export const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
