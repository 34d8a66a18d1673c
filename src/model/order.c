/* Loads and unloads asked for by admins (struct model_order).
 *
 * An order arrives by mailbox, waits for a scan (so that it sees the repository as it is now), then
 * for the end of the model's loads, and goes back to its owner's mailbox. Each is answered exactly
 * once, unless the manager was given up in the middle of a load (model_manager_stop_within).
 * Thread: manager. */
#include "model/repository.h"

#include "base/buffer.h"
#include "base/check.h"

static void on_done(struct message *message) {
    struct model_order *order = CONTAINER_OF(message, struct model_order, message);
    order->done(order);
}

static void answer(struct model_manager *manager, struct model_order *order) {
    enum log_level level = order->err == ERR_OK ? LOG_INFO : LOG_WARN;
    log_model_event(manager, level, order->unload ? "model_unload_order" : "model_load_order",
                    order->name, order->err == ERR_OK ? NULL : order->text.s);
    order->message.receive = on_done;
    CHECK(pthread_mutex_lock(&manager->outward) == 0);
    if (!manager->abandoned)
        mailbox_send(order->owner, &order->message);
    CHECK(pthread_mutex_unlock(&manager->outward) == 0);
}

static struct model_order *order_of(struct list_node *node) {
    return CONTAINER_OF(node, struct model_order, node);
}

void order_receive(struct message *message) {
    struct model_order *order = CONTAINER_OF(message, struct model_order, message);
    struct model_manager *manager = order->manager;
    order->name[MODEL_NAME_MAX] = '\0';
    order->err = ERR_OK;
    list_add_last(&manager->orders, &order->node);
    manager->scan_at_ns = 0;
}

static enum err why_unknown(const struct model_manager *manager, struct model_order *order) {
    const char *verb = order->unload ? "unload" : "load";
    if (manager->trouble)
        return err_set(&order->text, ERR_NOT_READY, "failed to %s '%s', %s", verb, order->name,
                       manager->trouble);
    return err_set(&order->text, ERR_NOT_FOUND,
                   "failed to %s '%s', the repository has no such model", verb, order->name);
}

static void refuse_loads(struct model_manager *manager, struct model_entry *entry, enum err e,
                         struct str why) {
    struct list_node *node;
    while ((node = list_take_first(&entry->orders)) != NULL) {
        struct model_order *order = order_of(node);
        order->err =
            err_set(&order->text, e, "failed to load '%s', %.*s", order->name, STR_ARG(why));
        answer(manager, order);
    }
}

static void start_unload(struct model_manager *manager, struct model_entry *entry,
                         struct model_order *order) {
    entry->unloaded = true;
    refuse_loads(manager, entry, ERR_NOT_READY, STR("it was unloaded meanwhile"));
    entry_unload(manager, entry);
    publish_changes(manager);
    answer(manager, order);
}

static void start_load(struct model_manager *manager, struct model_entry *entry,
                       struct model_order *order) {
    entry->unloaded = false;
    for (size_t i = 0; i < entry->slot_count; i++)
        entry->slots[i].asked = true;
    entry_read_settings(manager, entry, true);
    list_add_last(&entry->orders, &order->node);
    entry_step(manager, entry);
    manager->changed = true;
}

void orders_start(struct model_manager *manager) {
    struct list_node *node;
    while ((node = list_take_first(&manager->orders)) != NULL) {
        struct model_order *order = order_of(node);
        struct model_entry *entry = entry_find(manager, str_of(order->name));
        bool unloads_absent = order->unload && entry && !list_empty(&entry->versions);
        if (!entry || (!entry->present && !unloads_absent)) {
            order->err = why_unknown(manager, order);
            answer(manager, order);
        } else if (order->unload) {
            start_unload(manager, entry, order);
        } else {
            start_load(manager, entry, order);
        }
    }
}

static bool is_busy(const struct model_entry *entry) {
    for (size_t i = 0; i < entry->slot_count; i++)
        if (entry->slots[i].load)
            return true;
    return false;
}

/* "version 2: why; version 3: why"; false when every wanted version serves what its folder holds.
 */
static bool describe_failures(const struct model_entry *entry, struct buffer *out) {
    bool any_wanted = false;
    if (entry->trouble || entry->settings_error)
        buffer_add_c(out, entry->trouble ? entry->trouble : entry->settings_error);
    for (size_t i = 0; i < entry->slot_count; i++) {
        const struct model_slot *slot = &entry->slots[i];
        any_wanted |= slot->wanted;
        if (!slot->wanted || !slot->coming)
            continue;
        const char *why = slot->coming->owner->reason;
        buffer_add_format(out, "%sversion %s: %s", out->used ? "; " : "", slot->coming->version,
                          why ? why : "it is not loaded");
    }
    if (out->used == 0 && !any_wanted)
        buffer_add_c(out, entry->present ? "it has no version that its version policy wants"
                                         : "its folder is gone");
    return out->used > 0;
}

static void finish_loads(struct model_manager *manager, struct model_entry *entry) {
    struct buffer why;
    buffer_init(&why, (size_t)ERR_TEXT_MAX * 8);
    bool failed = describe_failures(entry, &why);
    for (size_t i = 0; i < entry->slot_count; i++)
        entry->slots[i].asked = false;
    if (failed)
        refuse_loads(manager, entry, ERR_INVALID, buffer_str(&why));
    struct list_node *node;
    while ((node = list_take_first(&entry->orders)) != NULL)
        answer(manager, order_of(node));
    buffer_done(&why);
}

void orders_finish(struct model_manager *manager) {
    for (size_t i = 0; i < manager->entry_count; i++) {
        struct model_entry *entry = manager->entries[i];
        if (!list_empty(&entry->orders) && !is_busy(entry))
            finish_loads(manager, entry);
    }
}

void orders_refuse(struct model_manager *manager) {
    struct list_node *node;
    for (size_t i = 0; i < manager->entry_count; i++)
        refuse_loads(manager, manager->entries[i], ERR_SHUTTING_DOWN,
                     STR("the server is shutting down"));
    while ((node = list_take_first(&manager->orders)) != NULL) {
        struct model_order *order = order_of(node);
        order->err = err_set(&order->text, ERR_SHUTTING_DOWN,
                             "failed to %s '%s', the server is shutting down",
                             order->unload ? "unload" : "load", order->name);
        answer(manager, order);
    }
}
