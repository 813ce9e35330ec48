/**
 * Characters that control a terminal or disguise a text: control characters (C0, DEL, C1), line and paragraph separators, and
 * bidirectional controls. It has the flag `g`, so use it with replace() only.
 */
// eslint-disable-next-line no-control-regex -- control characters are matched on purpose
export const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
