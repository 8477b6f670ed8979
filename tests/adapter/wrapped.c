/* A loadable adapter: the memory adapter of the program that loads it, under another name. */
#include <ingot/adapter.h>

extern const struct ingot_adapter ingot_adapter_memory;

ingot_adapter_entry_fn ingot_adapter_entry;

const struct ingot_adapter *ingot_adapter_entry(void)
{
    static struct ingot_adapter wrapped;
    wrapped = ingot_adapter_memory;
    wrapped.name = "wrapped";
    return &wrapped;
}
