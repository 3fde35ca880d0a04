/* A line of operations on the writer's thread, linked by their mail. */
#ifndef GALLOC_STORE_WRITER_LIST_H
#define GALLOC_STORE_WRITER_LIST_H

#include "store/op.h"

struct op_list {
    struct mail *first, **last; /* last is NULL while the list was never used */
};

static inline struct store_op *op_of_mail(struct mail *mail)
{
    return mail == NULL ? NULL : CONTAINER_OF(mail, struct store_op, mail);
}

static inline void op_list_add(struct op_list *list, struct store_op *op)
{
    op->mail.next = NULL;
    if (list->first == NULL)
        list->last = &list->first;
    *list->last = &op->mail;
    list->last = &op->mail.next;
}

static inline struct store_op *op_list_take(struct op_list *list)
{
    struct mail *mail = list->first;
    if (mail != NULL)
        list->first = mail->next;
    return op_of_mail(mail);
}

static inline void op_list_append(struct op_list *list, struct op_list *more) /* `more` is empty after */
{
    for (struct store_op *op; (op = op_list_take(more)) != NULL;)
        op_list_add(list, op);
}

static inline void op_list_prepend(struct op_list *list, struct op_list *before) /* `before` is empty after */
{
    op_list_append(before, list);
    op_list_append(list, before);
}

#endif
