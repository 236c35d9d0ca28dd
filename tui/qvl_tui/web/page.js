// Keys go to the terminal without a click into it, from the first picture on: before that there is nobody to send them.
window.addEventListener("load", () => {
  const focus = () => document.querySelector(".xterm-helper-textarea")?.focus();
  const drawn = new MutationObserver(() => {
    if (!document.body.classList.contains("-first-byte")) return;
    drawn.disconnect();
    window.addEventListener("focus", focus);
    focus();
  });
  drawn.observe(document.body, { attributes: true, attributeFilter: ["class"] });
});
