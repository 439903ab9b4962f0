// Where a student may be sent after signing in. The edge function has this file in its package, too.

/** Paths without empty or dot segments, and without escaped slashes, backslashes and control characters. */
export const RETURN_PATH =
  /^\/members(\/(?!\.{1,2}(\/|$))([\w.~!$&'()*+,;=:@-]|%(?![01]|2[ef]|5c|7f)[\da-f]{2})+)*\/?$/i;
