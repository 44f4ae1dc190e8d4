// Text that means harm, for every place where others' text is shown.
export const HOSTILE = [
  '<script>ran()</script>', '<img src=x onerror=ran()>', '"><svg onload=ran()>', '\u001b[31mred\u001b[0m \u001b]8;;javascript:ran()\u0007link', 'right\u202eto left\u202c', '</textarea></title><script>ran()</script>', 'javascript:ran()', '{{constructor.constructor("ran()")()}}',
];
